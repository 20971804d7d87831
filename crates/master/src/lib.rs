//! The leader: gRPC facade, worker links, the commit loop.
