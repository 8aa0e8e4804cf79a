//! JSON as a real master and agent (1.11.0) send it, shortened.

use millstream_mesos_types::{
    AgentId, AttributeConstraint, Base64, ConstraintGroup, Filters, FrameworkInfo, MinAllocatableResources,
    OfferConstraints, OfferFilters, OfferId, Operation, OperationId, OperationKind, Predicate, Pseudoattribute,
    ResourceQuantities, RoleConstraints, Scalar, Selector, TaskState, executor, scalar_sum,
    scheduler::{Call, Decline, Envelope, Event, Roles, Subscribe},
};
use serde_json::json;

#[test]
fn offers_are_read_and_their_resources_go_back_as_they_came() {
    let resource = json!({
        "name": "cpus", "type": "SCALAR", "scalar": {"value": 1.5}, "allocation_info": {"role": "millstream"},
        "reservations": [{"type": "STATIC", "role": "millstream"}], "provider_id": {"value": "p1"},
    });
    let event = json!({"type": "OFFERS", "offers": {"offers": [{
        "id": {"value": "o1"}, "framework_id": {"value": "f1"}, "agent_id": {"value": "a1"}, "hostname": "127.0.1.1",
        "url": {"scheme": "http", "address": {"hostname": "127.0.1.1", "ip": "127.0.1.1", "port": 5051}, "path": "/slave(1)"},
        "resources": [resource, {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 31000, "end": 31099}]}}],
        "attributes": [{"name": "rack", "type": "TEXT", "text": {"value": "r1"}}],
        "allocation_info": {"role": "millstream"}, "a_field_of_the_future": {"x": [1]},
    }]}});
    let Event::Offers { offers } = serde_json::from_value(event).unwrap() else { panic!("not OFFERS") };
    let offer = &offers.offers[0];
    assert_eq!(offer.agent_id, AgentId::new("a1"));
    assert_eq!(offer.attributes[0].text.as_ref().unwrap().value, "r1");
    assert_eq!(scalar_sum(&offer.resources, "cpus"), 1.5);
    assert!(offer.resources[0].is_reserved() && !offer.resources[1].is_reserved());
    assert_eq!(serde_json::to_value(&offer.resources[0]).unwrap(), resource);
}

#[test]
fn what_is_not_known_is_tolerated() {
    let unknown: Event = serde_json::from_value(json!({"type": "OF_THE_FUTURE", "of_the_future": {"a": 1}})).unwrap();
    assert_eq!(unknown, Event::Unknown);
    let heartbeat: Event = serde_json::from_value(json!({"type": "HEARTBEAT"})).unwrap();
    assert_eq!(heartbeat, Event::Heartbeat);
    let update =
        json!({"type": "UPDATE", "update": {"status": {"task_id": {"value": "t"}, "state": "TASK_OF_THE_FUTURE"}}});
    let Event::Update { update } = serde_json::from_value(update).unwrap() else { panic!("not UPDATE") };
    assert_eq!(update.status.state, TaskState::TaskUnknown);
    assert_eq!(update.status.uuid, None);
}

#[test]
fn calls_look_as_the_master_wants_them() {
    let call = |call| serde_json::to_value(Envelope { framework_id: None, call }).unwrap();
    let decline =
        Decline { offer_ids: vec![OfferId::new("o1")], filters: Some(Filters { refuse_seconds: Some(120.0) }) };
    assert_eq!(
        call(Call::Decline { decline }),
        json!({"type": "DECLINE", "decline": {"offer_ids": [{"value": "o1"}], "filters": {"refuse_seconds": 120.0}}})
    );
    assert_eq!(
        call(Call::Suppress { suppress: Roles::default() }),
        json!({"type": "SUPPRESS", "suppress": {"roles": []}})
    );
    assert_eq!(call(Call::Teardown), json!({"type": "TEARDOWN"}));
}

#[test]
fn bytes_are_base64() {
    let message = executor::Call::Message { message: executor::Message { data: Base64(vec![0, 255, 16]) } };
    assert_eq!(serde_json::to_value(message).unwrap(), json!({"type": "MESSAGE", "message": {"data": "AP8Q"}}));
    assert!(serde_json::from_value::<Base64>(json!("not base64!")).is_err());
}

#[test]
fn only_ends_are_terminal() {
    for state in
        ["TASK_LOST", "TASK_UNREACHABLE", "TASK_UNKNOWN", "TASK_GONE_BY_OPERATOR", "TASK_KILLING", "TASK_RUNNING"]
    {
        assert!(!serde_json::from_value::<TaskState>(json!(state)).unwrap().is_terminal(), "{state} may come back");
    }
    for state in ["TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR", "TASK_DROPPED", "TASK_GONE"] {
        assert!(serde_json::from_value::<TaskState>(json!(state)).unwrap().is_terminal(), "{state} is an end");
    }
}

#[test]
fn inverse_offers_and_operations_are_read() {
    let event = json!({"type": "INVERSE_OFFERS", "inverse_offers": {"inverse_offers": [{
        "id": {"value": "i1"}, "framework_id": {"value": "f1"}, "agent_id": {"value": "a1"},
        "unavailability": {"start": {"nanoseconds": 5_000_000_000_i64}, "duration": {"nanoseconds": 1}},
    }]}});
    let Event::InverseOffers { inverse_offers } = serde_json::from_value(event).unwrap() else { panic!("not so") };
    assert_eq!(inverse_offers.inverse_offers[0].unavailability.start.nanoseconds, 5_000_000_000);
    let event = json!({"type": "UPDATE_OPERATION_STATUS", "update_operation_status": {"status": {
        "operation_id": {"value": "op"}, "state": "OPERATION_FINISHED", "uuid": {"value": "AQI="},
        "converted_resources": [],
    }}});
    let Event::UpdateOperationStatus { update_operation_status: update } = serde_json::from_value(event).unwrap()
    else {
        panic!("not so")
    };
    assert!(update.status.state.is_terminal() && update.status.uuid.unwrap().value == Base64(vec![1, 2]));
}

#[test]
fn operations_carry_their_id_beside_their_type() {
    let reserve = json!({"type": "RESERVE", "id": {"value": "op"}, "reserve": {"resources": []}});
    let operation: Operation = serde_json::from_value(reserve.clone()).unwrap();
    assert_eq!(operation.id, Some(OperationId::new("op")));
    assert_eq!(serde_json::to_value(&operation).unwrap(), reserve);
    let launch = serde_json::to_value(Operation::launch(vec![])).unwrap();
    assert_eq!(launch, json!({"type": "LAUNCH", "launch": {"task_infos": []}}));
    let unknown: Operation = serde_json::from_value(json!({"type": "GROW_VOLUME", "grow_volume": {}})).unwrap();
    assert_eq!(unknown.kind, OperationKind::Unknown);
}

#[test]
fn wishes_for_offers_look_as_the_master_wants_them() {
    let constraint = |selector, predicate| AttributeConstraint { selector, predicate };
    let group = ConstraintGroup {
        attribute_constraints: vec![
            constraint(Selector::PseudoattributeType(Pseudoattribute::Hostname), Predicate::Exists {}),
            constraint(Selector::AttributeName("rack".into()), Predicate::TextMatches { regex: "r1|r2".into() }),
        ],
    };
    let roles = [("m".to_owned(), RoleConstraints { groups: vec![group] })].into();
    let filters = OfferFilters {
        min_allocatable_resources: Some(MinAllocatableResources {
            quantities: vec![ResourceQuantities { quantities: [("cpus".to_owned(), Scalar { value: 0.5 })].into() }],
        }),
    };
    let info = FrameworkInfo { offer_filters: [("m".to_owned(), filters)].into(), ..FrameworkInfo::default() };
    let offer_constraints = Some(OfferConstraints { role_constraints: roles });
    let update_framework = Subscribe { framework_info: info, suppressed_roles: vec![], offer_constraints };
    let call = serde_json::to_value(Call::UpdateFramework { update_framework }).unwrap();
    assert_eq!(call["type"], "UPDATE_FRAMEWORK");
    assert_eq!(
        call["update_framework"]["offer_constraints"],
        json!({"role_constraints": {"m": {"groups": [{"attribute_constraints": [
            {"selector": {"pseudoattribute_type": "HOSTNAME"}, "predicate": {"exists": {}}},
            {"selector": {"attribute_name": "rack"}, "predicate": {"text_matches": {"regex": "r1|r2"}}},
        ]}]}}})
    );
    assert_eq!(
        call["update_framework"]["framework_info"]["offer_filters"],
        json!({"m": {"min_allocatable_resources": {"quantities": [{"quantities": {"cpus": {"value": 0.5}}}]}}})
    );
}
