//! The whole way on the real Mesos 1.11 and on `millstream local`: what must not matter to it, how it behaves beside
//! others, and what bit the frameworks before it. One binary, so that all of it shares one start of the servers.

mod api;
mod changes;
mod deaths;
mod fetched;
mod ha;
mod local;
mod login;
mod maintenance;
mod manners;
mod regressions;
mod resources;
mod revocable;
mod run;
mod state;
mod tls;
mod users;
mod volumes;
