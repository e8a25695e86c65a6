//! DNS records from services and pods.
