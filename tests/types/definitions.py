# Types of a noexd server, made by `noexd types` VERSION from definitions d3f9ce277e1be724.
# Records may hold fields that are not declared here, and lack those that were
# declared after they were written.
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

MakersKey: TypeAlias = Literal["acme", "bolt\"s", "*/"]
PartsKey: TypeAlias = str
ClassKey: TypeAlias = float
日本Key: TypeAlias = str
PartsInsert_2Key: TypeAlias = str
LoopKey: TypeAlias = str
None_2Key: TypeAlias = str
ChildKey: TypeAlias = ClassKey


class Makers(TypedDict):
    """A record of "makers"."""

    id: MakersKey  # key
    name: NotRequired[str | None]
    _version: float
    _createdAt: float
    _updatedAt: float


class MakersInsert(TypedDict):
    """What an insert into "makers" takes."""

    id: MakersKey  # key
    name: NotRequired[str | None]


class MakersUpdate(TypedDict):
    """What an update of "makers" takes."""

    name: NotRequired[str | None]


Parts_dims_deep = TypedDict("Parts_dims_deep", {
    "a-b": NotRequired[str | None],
})


class Parts_dims(TypedDict):
    w: float
    h: NotRequired[float | None]
    deep: NotRequired[Parts_dims_deep | None]


class Parts_lists_item_item(TypedDict):
    x: float


class Parts(TypedDict):
    """A record of "parts"."""

    sku: PartsKey  # key, generated uuid
    qty: float  # min 0, max 9.5
    state: Literal["new", "used"] | None  # default "new"
    stated: Literal["new", "used"]  # default "new"
    size: NotRequired[float | None]
    whole: NotRequired[Literal[1, -2] | None]
    flag: NotRequired[Literal[True] | None]
    nothing: NotRequired[None]
    maker: NotRequired[MakersKey | None]  # ref makers
    parent: NotRequired[PartsKey | None]  # ref parts
    odd_ref: NotRequired[float | None]  # ref parts
    made: NotRequired[str | float | None]
    at: float  # generated timestamp
    dims: NotRequired[Parts_dims | None]
    free: NotRequired[dict[str, Any] | None]
    tags: NotRequired[list[Literal["a", "b"] | None] | None]
    lists: NotRequired[list[list[Parts_lists_item_item | None] | None] | None]
    any: NotRequired[list[Any] | None]
    mail: NotRequired[str | None]  # unique, format email, pattern ^[^*/]+(a*/)@\u000a, minLength 3, maxLength 80
    declared: float | None
    value: float | None  # computed
    label: str | None  # computed
    low: bool  # computed
    odd: Any  # computed
    _version: float
    _createdAt: float
    _updatedAt: float
    _expiresAt: float | None


class PartsInsert(TypedDict):
    """What an insert into "parts" takes."""

    sku: NotRequired[PartsKey]  # key, generated uuid
    qty: float  # min 0, max 9.5
    state: NotRequired[Literal["new", "used"] | None]  # default "new"
    stated: NotRequired[Literal["new", "used"]]  # default "new"
    size: NotRequired[float | None]
    whole: NotRequired[Literal[1, -2] | None]
    flag: NotRequired[Literal[True] | None]
    nothing: NotRequired[None]
    maker: NotRequired[MakersKey | None]  # ref makers
    parent: NotRequired[PartsKey | None]  # ref parts
    odd_ref: NotRequired[float | None]  # ref parts
    made: NotRequired[str | float | None]
    at: NotRequired[float]  # generated timestamp
    dims: NotRequired[Parts_dims | None]
    free: NotRequired[dict[str, Any] | None]
    tags: NotRequired[list[Literal["a", "b"] | None] | None]
    lists: NotRequired[list[list[Parts_lists_item_item | None] | None] | None]
    any: NotRequired[list[Any] | None]
    mail: NotRequired[str | None]  # unique, format email, pattern ^[^*/]+(a*/)@\u000a, minLength 3, maxLength 80
    _expiresAt: NotRequired[float | None]


class PartsUpdate(TypedDict):
    """What an update of "parts" takes."""

    qty: NotRequired[float]  # min 0, max 9.5
    state: NotRequired[Literal["new", "used"] | None]  # default "new"
    stated: NotRequired[Literal["new", "used"]]  # default "new"
    size: NotRequired[float | None]
    whole: NotRequired[Literal[1, -2] | None]
    flag: NotRequired[Literal[True] | None]
    nothing: NotRequired[None]
    maker: NotRequired[MakersKey | None]  # ref makers
    parent: NotRequired[PartsKey | None]  # ref parts
    odd_ref: NotRequired[float | None]  # ref parts
    made: NotRequired[str | float | None]
    dims: NotRequired[Parts_dims | None]
    free: NotRequired[dict[str, Any] | None]
    tags: NotRequired[list[Literal["a", "b"] | None] | None]
    lists: NotRequired[list[list[Parts_lists_item_item | None] | None] | None]
    any: NotRequired[list[Any] | None]
    mail: NotRequired[str | None]  # unique, format email, pattern ^[^*/]+(a*/)@\u000a, minLength 3, maxLength 80
    _expiresAt: NotRequired[float | None]


Class_2 = TypedDict("Class_2", {
    "in": NotRequired[str | None],
})


# A record of "class".
Class = TypedDict("Class", {
    "def": ClassKey,  # key, generated autoincrement
    "__proto__": NotRequired[str | None],
    "constructor": NotRequired[str | None],
    "a\"b": NotRequired[str | None],
    "x\u2028y\\": NotRequired[float | None],
    "": NotRequired[bool | None],
    "größe": NotRequired[float | None],
    "str": NotRequired[str | None],
    "for": NotRequired[str | None],
    "__x": NotRequired[str | None],
    "2": NotRequired[Class_2 | None],
    "_version": float,
    "_createdAt": float,
    "_updatedAt": float,
})


# What an insert into "class" takes.
ClassInsert = TypedDict("ClassInsert", {
    "def": NotRequired[ClassKey],  # key, generated autoincrement
    "__proto__": NotRequired[str | None],
    "constructor": NotRequired[str | None],
    "a\"b": NotRequired[str | None],
    "x\u2028y\\": NotRequired[float | None],
    "": NotRequired[bool | None],
    "größe": NotRequired[float | None],
    "str": NotRequired[str | None],
    "for": NotRequired[str | None],
    "__x": NotRequired[str | None],
    "2": NotRequired[Class_2 | None],
})


# What an update of "class" takes.
ClassUpdate = TypedDict("ClassUpdate", {
    "__proto__": NotRequired[str | None],
    "constructor": NotRequired[str | None],
    "a\"b": NotRequired[str | None],
    "x\u2028y\\": NotRequired[float | None],
    "": NotRequired[bool | None],
    "größe": NotRequired[float | None],
    "str": NotRequired[str | None],
    "for": NotRequired[str | None],
    "__x": NotRequired[str | None],
    "2": NotRequired[Class_2 | None],
})


class 日本(TypedDict):
    """A record of "日本 \"\"\" */"."""

    id: 日本Key  # key
    _version: float
    _createdAt: float
    _updatedAt: float


class 日本Insert(TypedDict):
    """What an insert into "日本 \"\"\" */" takes."""

    id: 日本Key  # key


class 日本Update(TypedDict):
    """What an update of "日本 \"\"\" */" takes."""


class PartsInsert_2(TypedDict):
    """A record of "parts-insert"."""

    id: PartsInsert_2Key  # key, ref loop
    _version: float
    _createdAt: float
    _updatedAt: float


class PartsInsert_2Insert(TypedDict):
    """What an insert into "parts-insert" takes."""

    id: PartsInsert_2Key  # key, ref loop


class PartsInsert_2Update(TypedDict):
    """What an update of "parts-insert" takes."""


class Loop(TypedDict):
    """A record of "loop"."""

    id: LoopKey  # key, ref parts-insert
    _version: float
    _createdAt: float
    _updatedAt: float


class LoopInsert(TypedDict):
    """What an insert into "loop" takes."""

    id: LoopKey  # key, ref parts-insert


class LoopUpdate(TypedDict):
    """What an update of "loop" takes."""


class Child(TypedDict):
    """A record of "child"."""

    id: ChildKey  # key, ref class, default 1
    _version: float
    _createdAt: float
    _updatedAt: float


class ChildInsert(TypedDict):
    """What an insert into "child" takes."""

    id: NotRequired[ChildKey]  # key, ref class, default 1


class ChildUpdate(TypedDict):
    """What an update of "child" takes."""


class None_2(TypedDict):
    """A record of "none"."""

    id: None_2Key  # key
    _version: float
    _createdAt: float
    _updatedAt: float


class None_2Insert(TypedDict):
    """What an insert into "none" takes."""

    id: None_2Key  # key


class None_2Update(TypedDict):
    """What an update of "none" takes."""


class LowStockParams(TypedDict):
    """The parameters of query "low-stock"."""

    max: float
    maker: MakersKey | None


class LowStockRow(TypedDict):
    """A row of query "low-stock"."""

    sku: PartsKey  # key, generated uuid
    qty: float  # min 0, max 9.5


LowStockResult: TypeAlias = list[LowStockRow]


class AllParams(TypedDict):
    """The parameters of query "all"."""


AllResult: TypeAlias = list[Parts]


# The parameters of query "every".
EveryParams = TypedDict("EveryParams", {
    "n": float,
    "list": list[float],
    "pair": tuple[float, float] | list[float],
    "one": Literal["new", "used"],
    "not": Literal["new", "used"] | None,
    "text": str,
    "there": bool,
    "stray": str | float | bool | None,
    "key": MakersKey | None,
    "never": None,
    "from": str | float,
    "to": str | float,
})


class EveryRow(TypedDict):
    """A row of query "every"."""

    sku: PartsKey  # key, generated uuid
    nowhere: NotRequired[Any]
    _version: float


EveryResult: TypeAlias = list[EveryRow]


class WholeParams(TypedDict):
    """The parameters of query "whole"."""

    any: list[dict[str, Any]]


WholeResult: TypeAlias = list[Parts]


class StrayParams(TypedDict):
    """The parameters of query "stray"."""


class StrayRow(TypedDict):
    """A row of query "stray"."""

    nowhere: NotRequired[Any]


StrayResult: TypeAlias = list[StrayRow]


class NParams(TypedDict):
    """The parameters of query "n"."""


NResult: TypeAlias = float


class MostParams(TypedDict):
    """The parameters of query "most"."""


MostResult: TypeAlias = float | None


class ByParams(TypedDict):
    """The parameters of query "by"."""


class ByGroupKey(TypedDict):
    maker: NotRequired[MakersKey | None]  # ref makers
    state: Literal["new", "used"] | None  # default "new"


class ByGroup(TypedDict):
    """A group of query "by"."""

    key: ByGroupKey
    value: float


ByResult: TypeAlias = list[ByGroup]


class ProtoParams(TypedDict):
    """The parameters of query "__proto__"."""

    constructor: str | None


ProtoResult: TypeAlias = list[Class]


# What procedure "close-ticket" takes.
CloseTicketInput = TypedDict("CloseTicketInput", {
    "ticket": str,
    "note": NotRequired[str | None],
    "n": NotRequired[float | None],
    "o": dict[str, Any],
    "a": list[Any],
    "__proto__": bool,
})


# What procedure "any" takes.
AnyInput: TypeAlias = Any


class NoneInput(TypedDict):
    """What procedure "none" takes."""


class OwedRow(TypedDict):
    """A row of view "owed"."""

    maker: str | None
    made: float | None
    w: float | None
    n: float
    sum: float
    avg: float | None
    max: float | str | None
    r: Any
    x: list[Literal["a", "b"] | None] | None
    k: Any
