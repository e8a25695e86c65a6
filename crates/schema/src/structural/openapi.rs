//! OpenAPI of a defined kind and of its list.
