"""All changes: of the mathematics, of what hands it its settings, of what is measured and said, of a sweep's answer, and of
relearning."""

from tests.mutations.answer import ANSWER
from tests.mutations.mathematics import MATHEMATICS
from tests.mutations.measures import MEASURES
from tests.mutations.relearning import RELEARNING
from tests.mutations.training import TRAINING

CHANGES = [*MATHEMATICS, *TRAINING, *MEASURES, *ANSWER, *RELEARNING]
