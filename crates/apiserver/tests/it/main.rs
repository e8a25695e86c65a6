//! The server over the in-memory store, asked as clients ask it.

mod crud;
mod harness;
