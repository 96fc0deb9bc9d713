// What is chosen on the page: `page.get`, `page.set` and `page.onChange` for everything on it that can be steered. It is kept in
// the URL's fragment, as NAME=VALUE&..., so that a view can be sent; what is as usual does not stand there.
const listeners = [];
let chosen = new URLSearchParams(location.hash.slice(1));

window.page = {
  get: (name, usual = "") => chosen.get(name) ?? usual,

  set(name, value, usual = "") {
    if (String(value) === usual) chosen.delete(name);
    else chosen.set(name, value);
    history.replaceState(null, "", chosen.size ? `#${chosen}` : location.pathname + location.search);
    listeners.forEach((listener) => listener(name));
  },

  // The listener is called with the name of what has changed; without a name where the whole fragment has.
  onChange: (listener) => listeners.push(listener),
};

addEventListener("hashchange", () => {
  chosen = new URLSearchParams(location.hash.slice(1));
  listeners.forEach((listener) => listener());
});
