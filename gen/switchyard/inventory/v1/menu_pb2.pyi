import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import empty_pb2 as _empty_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from switchyard.common.v1 import common_pb2 as _common_pb2
from switchyard.options.v1 import policy_pb2 as _policy_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RecipeLine(_message.Message):
    __slots__ = ("item_id", "quantity")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    quantity: int
    def __init__(self, item_id: _Optional[str] = ..., quantity: _Optional[int] = ...) -> None: ...

class RecipeChange(_message.Message):
    __slots__ = ("item_id", "quantity")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    quantity: int
    def __init__(self, item_id: _Optional[str] = ..., quantity: _Optional[int] = ...) -> None: ...

class ModifierOption(_message.Message):
    __slots__ = ("id", "name", "price", "recipe", "is_default", "sold_out", "max_quantity")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    IS_DEFAULT_FIELD_NUMBER: _ClassVar[int]
    SOLD_OUT_FIELD_NUMBER: _ClassVar[int]
    MAX_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    price: _common_pb2.Money
    recipe: _containers.RepeatedCompositeFieldContainer[RecipeChange]
    is_default: bool
    sold_out: bool
    max_quantity: int
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., price: _Optional[_Union[_common_pb2.Money, _Mapping]] = ..., recipe: _Optional[_Iterable[_Union[RecipeChange, _Mapping]]] = ..., is_default: _Optional[bool] = ..., sold_out: _Optional[bool] = ..., max_quantity: _Optional[int] = ...) -> None: ...

class ModifierGroup(_message.Message):
    __slots__ = ("id", "name", "required", "min_choices", "max_choices", "options")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    MIN_CHOICES_FIELD_NUMBER: _ClassVar[int]
    MAX_CHOICES_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    required: bool
    min_choices: int
    max_choices: int
    options: _containers.RepeatedCompositeFieldContainer[ModifierOption]
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., required: _Optional[bool] = ..., min_choices: _Optional[int] = ..., max_choices: _Optional[int] = ..., options: _Optional[_Iterable[_Union[ModifierOption, _Mapping]]] = ...) -> None: ...

class MenuItem(_message.Message):
    __slots__ = ("id", "name", "category", "price", "recipe", "sold_out", "version", "created_at", "updated_at", "description", "image_url", "position", "tags", "allergens", "modifier_groups")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    SOLD_OUT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    IMAGE_URL_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    ALLERGENS_FIELD_NUMBER: _ClassVar[int]
    MODIFIER_GROUPS_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    category: str
    price: _common_pb2.Money
    recipe: _containers.RepeatedCompositeFieldContainer[RecipeLine]
    sold_out: bool
    version: int
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    description: str
    image_url: str
    position: int
    tags: _containers.RepeatedScalarFieldContainer[str]
    allergens: _containers.RepeatedScalarFieldContainer[str]
    modifier_groups: _containers.RepeatedCompositeFieldContainer[ModifierGroup]
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., category: _Optional[str] = ..., price: _Optional[_Union[_common_pb2.Money, _Mapping]] = ..., recipe: _Optional[_Iterable[_Union[RecipeLine, _Mapping]]] = ..., sold_out: _Optional[bool] = ..., version: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., description: _Optional[str] = ..., image_url: _Optional[str] = ..., position: _Optional[int] = ..., tags: _Optional[_Iterable[str]] = ..., allergens: _Optional[_Iterable[str]] = ..., modifier_groups: _Optional[_Iterable[_Union[ModifierGroup, _Mapping]]] = ...) -> None: ...

class ListMenuItemsRequest(_message.Message):
    __slots__ = ("page_size", "cursor", "order_by", "category", "q")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    Q_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    cursor: str
    order_by: str
    category: str
    q: str
    def __init__(self, page_size: _Optional[int] = ..., cursor: _Optional[str] = ..., order_by: _Optional[str] = ..., category: _Optional[str] = ..., q: _Optional[str] = ...) -> None: ...

class ListMenuItemsResponse(_message.Message):
    __slots__ = ("menu_items", "next_cursor")
    MENU_ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    menu_items: _containers.RepeatedCompositeFieldContainer[MenuItem]
    next_cursor: str
    def __init__(self, menu_items: _Optional[_Iterable[_Union[MenuItem, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class CreateMenuItemRequest(_message.Message):
    __slots__ = ("menu_item",)
    MENU_ITEM_FIELD_NUMBER: _ClassVar[int]
    menu_item: MenuItem
    def __init__(self, menu_item: _Optional[_Union[MenuItem, _Mapping]] = ...) -> None: ...

class GetMenuItemRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class UpdateMenuItemRequest(_message.Message):
    __slots__ = ("id", "menu_item", "update_mask")
    ID_FIELD_NUMBER: _ClassVar[int]
    MENU_ITEM_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    id: str
    menu_item: MenuItem
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, id: _Optional[str] = ..., menu_item: _Optional[_Union[MenuItem, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class DeleteMenuItemRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class MenuItemSite(_message.Message):
    __slots__ = ("menu_item_id", "site_id", "available", "sold_out", "price", "out_of_stock", "version", "updated_at")
    MENU_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    SOLD_OUT_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    OUT_OF_STOCK_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    menu_item_id: str
    site_id: str
    available: bool
    sold_out: bool
    price: _common_pb2.Money
    out_of_stock: bool
    version: int
    updated_at: _timestamp_pb2.Timestamp
    def __init__(self, menu_item_id: _Optional[str] = ..., site_id: _Optional[str] = ..., available: _Optional[bool] = ..., sold_out: _Optional[bool] = ..., price: _Optional[_Union[_common_pb2.Money, _Mapping]] = ..., out_of_stock: _Optional[bool] = ..., version: _Optional[int] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListMenuItemSitesRequest(_message.Message):
    __slots__ = ("menu_item_id", "page_size", "cursor")
    MENU_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    menu_item_id: str
    page_size: int
    cursor: str
    def __init__(self, menu_item_id: _Optional[str] = ..., page_size: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class ListMenuItemSitesResponse(_message.Message):
    __slots__ = ("sites", "next_cursor")
    SITES_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    sites: _containers.RepeatedCompositeFieldContainer[MenuItemSite]
    next_cursor: str
    def __init__(self, sites: _Optional[_Iterable[_Union[MenuItemSite, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class GetMenuItemSiteRequest(_message.Message):
    __slots__ = ("menu_item_id", "site_id")
    MENU_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    menu_item_id: str
    site_id: str
    def __init__(self, menu_item_id: _Optional[str] = ..., site_id: _Optional[str] = ...) -> None: ...

class PutMenuItemSiteRequest(_message.Message):
    __slots__ = ("menu_item_id", "site_id", "site")
    MENU_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    menu_item_id: str
    site_id: str
    site: MenuItemSite
    def __init__(self, menu_item_id: _Optional[str] = ..., site_id: _Optional[str] = ..., site: _Optional[_Union[MenuItemSite, _Mapping]] = ...) -> None: ...

class ListProductsRequest(_message.Message):
    __slots__ = ("catalog_id", "page_size", "cursor", "order_by", "category", "q", "available")
    CATALOG_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    Q_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    catalog_id: str
    page_size: int
    cursor: str
    order_by: str
    category: str
    q: str
    available: bool
    def __init__(self, catalog_id: _Optional[str] = ..., page_size: _Optional[int] = ..., cursor: _Optional[str] = ..., order_by: _Optional[str] = ..., category: _Optional[str] = ..., q: _Optional[str] = ..., available: _Optional[bool] = ...) -> None: ...

class GetProductRequest(_message.Message):
    __slots__ = ("catalog_id", "id")
    CATALOG_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    catalog_id: str
    id: str
    def __init__(self, catalog_id: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class ProductOption(_message.Message):
    __slots__ = ("id", "name", "price", "is_default", "max_quantity", "available")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    IS_DEFAULT_FIELD_NUMBER: _ClassVar[int]
    MAX_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    price: _common_pb2.Money
    is_default: bool
    max_quantity: int
    available: bool
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., price: _Optional[_Union[_common_pb2.Money, _Mapping]] = ..., is_default: _Optional[bool] = ..., max_quantity: _Optional[int] = ..., available: _Optional[bool] = ...) -> None: ...

class ProductModifierGroup(_message.Message):
    __slots__ = ("id", "name", "required", "min_choices", "max_choices", "options")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    MIN_CHOICES_FIELD_NUMBER: _ClassVar[int]
    MAX_CHOICES_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    required: bool
    min_choices: int
    max_choices: int
    options: _containers.RepeatedCompositeFieldContainer[ProductOption]
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., required: _Optional[bool] = ..., min_choices: _Optional[int] = ..., max_choices: _Optional[int] = ..., options: _Optional[_Iterable[_Union[ProductOption, _Mapping]]] = ...) -> None: ...

class Product(_message.Message):
    __slots__ = ("id", "name", "category", "price", "available", "available_quantity", "image_url", "position", "description", "tags", "allergens", "modifier_groups")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    IMAGE_URL_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    ALLERGENS_FIELD_NUMBER: _ClassVar[int]
    MODIFIER_GROUPS_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    category: str
    price: _common_pb2.Money
    available: bool
    available_quantity: int
    image_url: str
    position: int
    description: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    allergens: _containers.RepeatedScalarFieldContainer[str]
    modifier_groups: _containers.RepeatedCompositeFieldContainer[ProductModifierGroup]
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., category: _Optional[str] = ..., price: _Optional[_Union[_common_pb2.Money, _Mapping]] = ..., available: _Optional[bool] = ..., available_quantity: _Optional[int] = ..., image_url: _Optional[str] = ..., position: _Optional[int] = ..., description: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., allergens: _Optional[_Iterable[str]] = ..., modifier_groups: _Optional[_Iterable[_Union[ProductModifierGroup, _Mapping]]] = ...) -> None: ...

class ListProductsResponse(_message.Message):
    __slots__ = ("products", "next_cursor")
    PRODUCTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    products: _containers.RepeatedCompositeFieldContainer[Product]
    next_cursor: str
    def __init__(self, products: _Optional[_Iterable[_Union[Product, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...
