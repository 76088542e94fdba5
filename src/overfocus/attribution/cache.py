"""Cache of facts about an unmodified model.

Which layer holds the last features, and whether the head behind it is linear, takes a pass or a copy of the model to
find out, and is needed anew with every batch.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from torch import nn

Answer = TypeVar("Answer")
_KNOWN: WeakKeyDictionary[nn.Module, tuple[Hashable, dict[Hashable, Any]]] = WeakKeyDictionary()
_PLAIN = (bool, int, float, str)


def cached(model: nn.Module, key: Hashable, find: Callable[[], Answer]) -> Answer:
    """Return what `find` returns, or what it returned before for the same `key` and the same, unmodified `model`.

    Nothing empty is kept.
    """
    state = _state(model)
    known, answers = _KNOWN.get(model, (None, {}))
    if state is None or known != state:
        answers = {}
    if key in answers:
        return answers[key]
    if (answer := find()) and state is not None:
        _KNOWN[model] = (state, {**answers, key: answer})
    return answer


def _state(model: nn.Module) -> Hashable | None:
    """Return what differs as soon as a module, a setting, a hook, a weight or a buffer does; None where that is not
    known.
    """
    try:
        modules = [(id(module), type(module), _settings(module)) for module in model.modules()]
        numbers = [(id(each), each.data_ptr(), each._version) for each in (*model.parameters(), *model.buffers())]
    except RuntimeError:  # tensors made in inference mode do not count their changes, those on meta lie nowhere
        return None
    return tuple(modules), tuple(numbers)


def _settings(module: nn.Module) -> Hashable:
    plain = tuple((name, value) for name, value in vars(module).items() if type(value) in _PLAIN)
    return plain, tuple(module._forward_hooks), tuple(module._forward_pre_hooks)
