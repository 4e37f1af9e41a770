//! Models of what processes do on one PostgreSQL database, checked in every state.

mod group_commit;
