//! Request and Response to HTTP and back; TLS; the only place that knows paths.
