//! A Mesos v1 master with N agents in one process
