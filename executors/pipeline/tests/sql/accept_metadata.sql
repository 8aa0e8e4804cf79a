-- key: k1
-- header: trace=abc
-- header: other=1
-- header: trace=last
-- record: {}
-- record: {}
SELECT _topic, _partition, _offset, _timestamp, _key, encode(_key_bytes, 'hex') AS hex, _headers['trace'] AS trace, _headers FROM input
