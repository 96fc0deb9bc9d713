// Numbers of the charts: smoothing, the ends of axes, the point nearest to the mouse. Nothing here knows the page.

// A debiased exponential moving average: each value keeps `weight` of what came before it. Gaps stay gaps.
page.smoothed = (values, weight) => {
  let [sum, share] = [0, 0];
  return values.map((value) => {
    if (value == null) return null;
    sum = sum * weight + value * (1 - weight);
    share = share * weight + (1 - weight);
    return sum / share;
  });
};

// From the lowest to the highest value with some room, which does not cross 0 or 1 by itself. Never empty, so that an axis has
// several ticks also where all values are equal. A tight axis, of steps, reaches from 0 to the last.
page.endsOf = (values, { isLog = false, hasZero = false, isTight = false }) => {
  const known = values.filter((value) => Number.isFinite(value) && (!isLog || value > 0));
  if (!known.length) return isLog ? [0.1, 1] : [0, 1];
  if (hasZero && !isLog) known.push(0);
  const [low, high] = known.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
  if (isLog) {
    const room = low === high ? 2 : (high / low) ** 0.05;
    return [low / room, high * room];
  }
  if (isTight) return [Math.min(low, 0), high > 0 ? high : 1];
  const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 0.1;
  const bottom = low >= 0 ? Math.max(0, low - room) : low - room;
  if (high <= 1 || (low < 0 && high <= 0)) return [bottom, Math.min(low < 0 && high <= 0 ? 0 : 1, high + room)];
  return [bottom, high + room];
};

// Of the places [x, y] in pixels the number of the one nearest to [x, y]; -1 without any.
page.nearestOf = (places, [x, y]) => {
  let [found, least] = [-1, Infinity];
  places.forEach(([a, b], i) => {
    const distance = (a - x) ** 2 + (b - y) ** 2;
    if (distance < least) [found, least] = [i, distance];
  });
  return found;
};

// The ticks of a logarithmic axis: powers of ten, or over few of them also twice and five times as much; where those are less
// than two the axis finds its own.
page.logTicks = (low, high) => {
  const powers = Array.from({ length: 40 }, (_, i) => i - 20);
  const times = high / low > 100 ? [1] : [1, 2, 5];
  const values = powers.flatMap((power) => times.map((time) => Number(`${time}e${power}`))).filter((value) => value >= low && value <= high);
  return values.length > 1 ? { values } : { tickCount: 3 };
};
