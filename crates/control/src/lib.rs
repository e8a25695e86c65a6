//! Informers, keyed queues and the driver that runs controllers.
