"""In which order a report stands, and for which course: its questions as headings."""

from collections.abc import Mapping
from dataclasses import dataclass

# the parts of a report, in the order of one for no course, and their headings
PARTS: Mapping[str, str] = {
    "in_short": "In short",
    "loss": "Losses while it learned",
    "smoothed": "The smoothed loss",
    "evolution": "Samples while it learned",
    "sample": "A text of the model",
    "copied": "What it has copied",
    "records": "Generated records",
    "comparison": "Validation loss beside simple models",
    "labels": "Which label a record has",
    "answers": "What it predicts",
    "units": "What its units do while it reads",
    "gradient": "Gradient check",
    "settings": "Settings",
    "repeat": "To make the run again",
    "speed": "Speed",
    "machine": "Machine and versions",
}


@dataclass(frozen=True)
class Question:
    """What a course asks, the parts of the report that answer it, and what is left to write, which
    nothing measured can answer."""

    title: str
    parts: tuple[str, ...] = ()
    task: str = ""


@dataclass(frozen=True)
class Course:
    """The title of a report, the kind of model it is about, and the questions in their order."""

    title: str
    kind: str
    questions: tuple[Question, ...]


COURSES: Mapping[str, Course] = {
    "kth": Course("KTH DD2424: a recurrent network writes character by character", "text", (
        Question("Are the gradients right?", ("gradient",),
                 "how you checked the gradients of your own code: which entries, which step, and "
                 "the largest relative error."),
        Question("How does the smoothed loss fall during the training?", ("smoothed", "loss")),
        Question("How do the generated texts change during the training?", ("evolution",),
                 "what the texts have learned from one to the next: letters, words, lines, names."),
        Question("Which 1,000 characters does the best model write?", ("in_short", "sample",
                                                                       "copied")),
        Question("How good is it on text that it has not read?", ("comparison",)),
        Question("With which settings was it trained?", ("settings", "repeat")))),
    "words": Course("A language model of words", "words", (
        Question("What is the model, and what is it trained on?", ("in_short",)),
        Question("How do loss and accuracy change from epoch to epoch?", ("loss",),
                 "how the curves of another cell, --cell rnn or --cell lstm, differ, and why."),
        Question("Which texts does it write, sampled and with the likeliest word each time?",
                 ("likeliest", "evolution"),
                 "what is right in these texts, and what is not: grammar, sense, repetition."),
        Question("How well does it predict words that it has not read?", ("comparison",)),
        Question("Does it write sentences of its own, or those of the training text?",
                 ("sample", "copied")),
        Question("With which settings was it trained?", ("settings", "repeat")))),
    "names": Course("Names with labels", "records", (
        Question("What is the model, and what is it trained on?", ("in_short",),
                 "how a name and its label are coded as inputs of the network, and what its "
                 "outputs mean."),
        Question("How does the loss fall, and when does it no longer fall on held-out names?",
                 ("loss",)),
        Question("How often is the right label ranked first, and what is confused?", ("labels",),
                 "which confusions you expected, and which names are to be found under several "
                 "labels."),
        Question("Which names does it write for each label, and which of them are new?",
                 ("records",)),
        Question("Which names does it write for a mixture of two labels?", ("mixture",)),
        Question("How well does it predict the characters of held-out names?", ("comparison",)),
        Question("Are the gradients right?", ("gradient",)),
        Question("With which settings was it trained?", ("settings", "repeat")))),
    "rwth": Course("RWTH Aachen: what a recurrent network remembers and continues", "sequences", (
        Question("What is the model, and what is it trained on?", ("in_short",)),
        Question("How does it learn?", ("loss",),
                 "how the curve changes with another initialization, init identity or normal, and "
                 "why; fastrnn plot draws the curves of several runs into one PNG."),
        Question("What does it answer to sequences that it has not seen?", ("answers",)),
        Question("How good is that beside simple answers?", ("comparison",)),
        Question("Are the gradients right?", ("gradient",)),
        Question("With which settings was it trained?", ("settings", "repeat")))),
    "char-rnn": Course("A character model and three of its outputs", "text", (
        Question("What is the model, and what is it trained on?", ("in_short",)),
        Question("What does it write at three temperatures?", ("outputs",),
                 "how the three texts differ, and which temperature you would choose."),
        Question("What did it write earlier in the training?", ("evolution",)),
        Question("How did the loss fall?", ("loss",),
                 "whether it over-fits: compare training and validation."),
        Question("How good is it beside simple models, and how much does it copy?",
                 ("comparison", "sample", "copied")),
        Question("With which settings was it trained?", ("settings", "repeat")))),
}
