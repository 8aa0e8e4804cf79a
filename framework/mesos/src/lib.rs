//! Mesos v1 sessions: RecordIO, scheduler and executor connections, leader detection
