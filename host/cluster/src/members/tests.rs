//! Whole clusters on loopback: real links, real files, one process.

#[cfg(feature = "etcd")]
mod etcd;
mod world;

use std::time::Duration;

use gc_protocol::{Life, MembershipEpoch};

use super::*;
use crate::kept::StateError;
use crate::transport::Event;
use world::{Node, World, agreed, free_address, until};

async fn three() -> (World, [Node; 3]) {
    let mut world = World::new();
    let one = world.start("n1", &[]).await;
    let (two, three) = (world.start("n2", &[one.address]).await, world.start("n3", &[one.address]).await);
    let nodes = [one, two, three];
    agreed(&nodes, &[(1, 1), (2, 1), (3, 1)]).await;
    (world, nodes)
}

#[tokio::test]
async fn nodes_come_in_in_any_order_and_through_anybody() {
    let mut world = World::new();
    let addresses: Vec<_> = (0..5).map(|_| free_address()).collect();
    // Each knows only the next one, and the founder comes last.
    let mut nodes = Vec::new();
    for (at, name) in ["n2", "n3", "n4", "n5"].into_iter().enumerate() {
        nodes.push(world.start_at(name, addresses[at + 1], &[addresses[at]]).await);
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(nodes.iter().all(|node| node.last().is_none()), "there is no cluster yet");
    nodes.push(world.start_at("n1", addresses[0], &[]).await);
    agreed(&nodes, &[(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]).await;
    for node in &nodes {
        assert!(node.epochs().is_sorted_by(|a, b| a < b), "{:?}", node.epochs());
        let status = node.ask(|members| members.status()).await;
        assert_eq!(status.decided_by.as_deref(), Some("n1"));
        assert_eq!(status.members.iter().filter(|member| member.me).count(), 1);
    }
    // Everybody is linked to everybody, also to those that nobody named to it.
    for node in &nodes {
        until("all are linked", async || {
            let status = node.ask(|members| members.status()).await;
            status.members.iter().all(|member| member.me || member.linked) && status.trouble.is_none()
        })
        .await;
    }
}

#[tokio::test]
async fn a_seat_that_restarts_goes_on_with_what_it_wrote_down() {
    let (mut world, [one, two, three]) = three().await;
    let before = one.epoch();
    one.stop().await;
    let four = world.start("n4", &[two.address]).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(four.last().is_none(), "nobody decides");
    // At another address, and without a word about the others.
    let one = world.start("n1", &[]).await;
    let nodes = [one, two, three, four];
    agreed(&nodes, &[(1, 2), (2, 1), (3, 1), (4, 1)]).await;
    assert!(nodes[0].epoch() > before);
}

#[tokio::test]
async fn a_member_that_comes_back_takes_the_place_of_its_earlier_life() {
    let (mut world, [one, two, three]) = three().await;
    three.stop().await;
    // It finds the cluster by what it kept.
    let three = world.start("n3", &[]).await;
    let nodes = [one, two, three];
    agreed(&nodes, &[(1, 1), (2, 1), (3, 2)]).await;
    let old = nodes[1].ask(|members| members.membership.as_ref().unwrap().has(Life::new(3, 1))).await;
    assert!(!old);
}

#[tokio::test]
async fn an_operator_exiles_from_any_node() {
    let (mut world, [one, two, three]) = three().await;
    let answer = two.ask(|members| members.exile("n3")).await;
    let epoch = answer.await.unwrap().unwrap();
    agreed(&[one, two], &[(1, 1), (2, 1)]).await;
    // The exiled one is told, and does not come back in this life.
    until("it knows", async || three.last().is_some_and(|(_, members)| !members.contains_key(&three.life)))
        .await;
    assert_eq!(three.epoch(), epoch.0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(three.epoch(), epoch.0);
    three.stop().await;
    let three = world.start("n3", &[]).await;
    assert_eq!(three.life, Life::new(3, 2));
    until("a later life is let in", async || three.last().is_some()).await;
}

#[tokio::test]
async fn what_is_asked_while_the_seat_is_away_is_done_when_it_is_back() {
    let (mut world, [one, two, three]) = three().await;
    one.stop().await;
    until("the seat is missed", async || {
        let status = two.ask(|members| members.status()).await;
        status.trouble.is_some_and(|trouble| trouble.contains("the seat n1 is not reached"))
    })
    .await;
    let asked = [two.ask(|members| members.exile("n3")).await, two.ask(|members| members.exile("n3")).await];
    let one = world.start("n1", &[]).await;
    for answer in asked {
        // Asked twice it is done once.
        assert_eq!(answer.await.unwrap(), Ok(MembershipEpoch(5)));
    }
    agreed(&[one, two], &[(1, 2), (2, 1)]).await;
    drop(three);
}

#[tokio::test]
async fn what_an_operator_cannot_have_is_refused() {
    let (_world, [one, two, three]) = three().await;
    let refused = async |node: &Node, name: &'static str| {
        node.ask(move |members| members.exile(name)).await.await.unwrap().unwrap_err()
    };
    assert_eq!(refused(&two, "n9").await, ChangeRefused::NoSuchMember("n9".into()));
    assert_eq!(refused(&two, "n1").await, ChangeRefused::IsTheSeat("n1".into()));
    assert_eq!(refused(&one, "n1").await, ChangeRefused::IsTheSeat("n1".into()));
    let leaves = one.ask(|members| members.leave()).await.await.unwrap();
    assert_eq!(leaves, Err(ChangeRefused::IsTheSeat("n1".into())));
    agreed(&[one, two, three], &[(1, 1), (2, 1), (3, 1)]).await;
}

#[tokio::test]
async fn who_leaves_is_out_when_it_is_told_so() {
    let (_world, [one, two, three]) = three().await;
    three.ask(|members| members.leave()).await.await.unwrap().unwrap();
    agreed(&[one, two], &[(1, 1), (2, 1)]).await;
    until("it knows", async || three.last().is_some_and(|(_, members)| !members.contains_key(&three.life)))
        .await;
}

#[tokio::test]
async fn without_etcd_a_home_is_referred_to_an_operator() {
    let (_world, [_one, two, three]) = three().await;
    let (client, epoch) = (three.life, MembershipEpoch(two.epoch()));
    two.ask(move |members| members.propose_exile(client, epoch)).await;
    until("it is declined", async || {
        let notices = two.notices.lock().unwrap();
        notices.iter().any(|notice| match notice {
            Notice::ExileDeclined { client, why } => {
                *client == three.life && why.to_string().contains("`host cluster exile n3`")
            }
            _ => false,
        })
    })
    .await;
    assert_eq!(two.epoch(), epoch.0);
}

#[tokio::test]
async fn who_says_nothing_is_suspected_and_stays_a_member() {
    let (_world, [one, two, three]) = three().await;
    // Long enough to know its rhythm.
    tokio::time::sleep(Duration::from_secs(2)).await;
    three.pause(true);
    for node in [&one, &two] {
        until("it is suspected", async || {
            let status = node.ask(|members| members.status()).await;
            let silent = status.members.iter().find(|member| member.life == three.life).unwrap();
            silent.suspected_for.is_some() && silent.phi >= crate::limits::SUSPECT_PHI
        })
        .await;
        assert_eq!(node.last().unwrap().1.len(), 3);
    }
    three.pause(false);
    for node in [&one, &two] {
        until("it recovers", async || node.notices.lock().unwrap().contains(&Notice::Recovered(three.life)))
            .await;
    }
}

#[tokio::test]
async fn a_node_of_another_cluster_stays_outside() {
    let (mut world, [one, two, _three]) = three().await;
    let bank = world.start_as("bank", "n4", 9, &[one.address]).await;
    until("it is refused", async || one.transport.refusal_counts().contains_key("other_cluster")).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(bank.last().is_none());
    assert!(bank.ask(|members| members.status()).await.trouble.is_some());
    assert_eq!(two.last().unwrap().1.len(), 3);
}

#[tokio::test]
async fn of_two_nodes_of_one_name_the_second_is_not_let_in() {
    let (mut world, [one, two, three]) = three().await;
    // The same certificate, another folder: the same life again.
    let twin = world.start_elsewhere("n2", &[one.address]).await;
    assert_eq!(twin.life, Life::new(2, 1));
    until("it is refused", async || one.transport.refusal_counts().contains_key("twin")).await;
    assert!(twin.last().is_none());
    assert_eq!(three.last().unwrap().1.len(), 3);
    // A seat that has restarted knows the life that it admitted by what it wrote down.
    two.stop().await;
    one.stop().await;
    let one = world.start("n1", &[]).await;
    let twin = world.start_elsewhere("n2", &[one.address]).await;
    until("it is told", async || {
        let notices = twin.notices.lock().unwrap();
        notices.contains(&Notice::NotAdmitted(ChangeRefused::Twin("n2".into())))
    })
    .await;
    assert!(twin.last().is_none());
}

#[tokio::test]
async fn a_node_that_lost_its_state_is_not_let_in() {
    let (mut world, [one, two, three]) = three().await;
    two.stop().await;
    let two = world.start("n2", &[one.address]).await;
    let nodes = [one, two, three];
    agreed(&nodes, &[(1, 1), (2, 2), (3, 1)]).await;
    let [one, two, three] = nodes;
    two.stop().await;
    // The seat has restarted since: only what it wrote down knows of the second life.
    one.stop().await;
    let one = world.start("n1", &[]).await;
    let lost = world.start_elsewhere("n2", &[one.address]).await;
    until("it is told", async || {
        let notices = lost.notices.lock().unwrap();
        let older = ChangeRefused::OlderLife { name: "n2".into(), present: 2, theirs: 1 };
        notices.contains(&Notice::NotAdmitted(older))
    })
    .await;
    assert!(lost.last().is_none() && three.last().unwrap().1.contains_key(&Life::new(2, 2)));
}

#[tokio::test]
async fn joining_oneself_or_nobody_says_so() {
    let mut world = World::new();
    let address = free_address();
    let error = world.try_start("n1", address, &[address]).await.err().expect("it joins itself");
    assert!(matches!(error, MembersError::JoinsItself(_)), "{error}");
    let anywhere = "0.0.0.0:7000".parse().unwrap();
    let transport = world.transport("n2", free_address()).await;
    let config = MembersConfig {
        address: anywhere,
        join: Vec::new(),
        state: world.state("n2"),
        decides: Decides::Seat,
    };
    let error = Members::start(config, transport.0).err().expect("nobody can dial that");
    assert!(matches!(error, MembersError::Unreachable(_)), "{error}");

    // Nobody there: it goes on trying, and says why it is not in.
    let seat = free_address();
    let three = world.start("n3", &[seat]).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    let trouble = three.ask(|members| members.status()).await.trouble.expect("there is trouble");
    assert!(trouble.contains("--join"), "{trouble}");
    let one = world.start_at("n4", seat, &[]).await;
    agreed(&[one, three], &[(3, 1), (4, 1)]).await;
}

#[tokio::test]
async fn what_the_seat_cannot_write_down_does_not_happen() {
    let mut world = World::new();
    let one = world.start("n1", &[]).await;
    until("it has founded", async || one.epoch() == 1).await;
    let in_the_way = world.state("n1").join("membership.json.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let two = world.start("n2", &[one.address]).await;
    until("it is told", async || {
        let notices = two.notices.lock().unwrap();
        notices.iter().any(|notice| matches!(notice, Notice::NotAdmitted(ChangeRefused::NotWritten(_))))
    })
    .await;
    assert_eq!((one.epoch(), two.last()), (1, None));
    std::fs::remove_dir(&in_the_way).unwrap();
    agreed(&[one, two], &[(1, 1), (2, 1)]).await;
}

#[tokio::test]
async fn a_disk_that_hangs_holds_up_decisions_and_nothing_else() {
    let (mut world, [one, two, three]) = three().await;
    let gates = [
        one.ask(|members| members.writer.gate.clone()).await,
        two.ask(|members| members.writer.gate.clone()).await,
    ];
    let shut = |shut| gates.iter().for_each(|gate| gate.shut(shut));
    shut(true);
    let four = world.start("n4", &[one.address]).await;
    let answers = [
        one.ask(|members| members.exile("n3")).await,
        one.ask(|members| members.exile("n9")).await,
        two.ask(|members| members.exile("n3")).await,
    ];
    // The seat goes on saying that it is there, and answers what needs no disk.
    let beats = async || two.ask(|members| members.status()).await.counters.suspicions;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(beats().await, 0);
    let [exiled, nobody, again] = answers;
    assert_eq!(nobody.await.unwrap(), Err(ChangeRefused::NoSuchMember("n9".into())));
    // Nobody hears of what is not on disk.
    assert!([&one, &two, &three].iter().all(|node| node.epoch() == 3), "told before it was durable");
    assert_eq!(four.last(), None);
    shut(false);
    assert!(exiled.await.unwrap().is_ok() && again.await.unwrap().is_ok());
    agreed(&[one, two, four], &[(1, 1), (2, 1), (4, 1)]).await;
}

#[tokio::test]
async fn two_clusters_that_meet_do_not_mix() {
    let mut world = World::new();
    let one = world.start("n1", &[]).await;
    let two = world.start("n2", &[]).await;
    until("both have founded", async || one.epoch() == 1 && two.epoch() == 1).await;
    two.stop().await;
    let two = world.start("n2", &[one.address]).await;
    for (node, other) in [(&one, "n2"), (&two, "n1")] {
        until("it is told", async || {
            let notices = node.notices.lock().unwrap();
            notices.contains(&Notice::NotAdmitted(ChangeRefused::FoundedElsewhere(other.into())))
        })
        .await;
        assert_eq!(node.last().unwrap().1.len(), 1);
    }
}

#[tokio::test]
async fn a_state_that_cannot_be_used_founds_nothing() {
    let mut world = World::new();
    let one = world.start("n1", &[]).await;
    until("it has founded", async || one.epoch() == 1).await;
    one.stop().await;
    let file = world.state("n1").join("membership.json");
    let sound = std::fs::read_to_string(&file).unwrap();
    for text in ["", "{}", &sound[..sound.len() / 2], &sound.replace("\"version\": 1", "\"version\": 2")] {
        std::fs::write(&file, text).unwrap();
        let error = world.try_start("n1", free_address(), &[]).await.err().expect("it is damaged");
        assert!(matches!(error, MembersError::State(StateError::Damaged { .. })), "{text:?}: {error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
    std::fs::write(&file, sound.replace("gc://shop/n1/1", "gc://shop/n2/2")).unwrap();
    let error = world.try_start("n1", free_address(), &[]).await.err().expect("it is another's");
    assert!(matches!(error, MembersError::State(StateError::OtherState { .. })), "{error}");
    std::fs::write(&file, &sound).unwrap();
    let one = world.start("n1", &[]).await;
    until("it goes on", async || one.epoch() == 2).await;
}

#[tokio::test]
async fn a_seat_with_an_old_copy_of_its_folder_decides_nothing() {
    let mut world = World::new();
    let one = world.start("n1", &[]).await;
    until("it has founded", async || one.epoch() == 1).await;
    let file = world.state("n1").join("membership.json");
    let old = std::fs::read(&file).unwrap();
    let (two, three) = (world.start("n2", &[one.address]).await, world.start("n3", &[one.address]).await);
    let nodes = [one, two, three];
    agreed(&nodes, &[(1, 1), (2, 1), (3, 1)]).await;
    let [one, two, three] = nodes;
    let address = one.address;
    one.stop().await;
    std::fs::write(&file, old).unwrap();
    let one = world.start_at("n1", address, &[]).await;
    let behind = |notice: &Notice| {
        matches!(notice, Notice::NotAdmitted(ChangeRefused::SeatIsBehind { present: 2, later: 3 }))
    };
    until("it is told", async || one.notices.lock().unwrap().iter().any(behind)).await;
    let four = world.start("n4", &[one.address]).await;
    until("nobody is let in", async || four.notices.lock().unwrap().iter().any(behind)).await;
    assert_eq!((one.epoch(), two.epoch(), three.epoch()), (2, 3, 3));
}

#[tokio::test]
async fn a_seat_that_has_lost_its_membership_is_told_so_and_changes_nothing() {
    let mut world = World::new();
    let one = world.start("n1", &[]).await;
    let nodes = [world.start("n2", &[one.address]).await, one];
    agreed(&nodes, &[(1, 1), (2, 1)]).await;
    let [two, one] = nodes;
    let (address, file) = (one.address, world.state("n1").join("membership.json"));
    let kept = std::fs::read(&file).unwrap();
    let lost = |node: &Node| {
        let notices = node.notices.lock().unwrap();
        let lost = ChangeRefused::SeatIsLost("n1".into());
        notices.iter().any(|notice| *notice == Notice::NotAdmitted(lost.clone()))
    };
    one.stop().await;
    std::fs::remove_file(&file).unwrap();
    // It takes itself for the first node there ever was.
    let one = world.start_at("n1", address, &[]).await;
    until("the other is told", async || lost(&two)).await;
    one.stop().await;
    std::fs::remove_file(&file).unwrap();
    let one = world.start_at("n1", address, &[two.address]).await;
    until("it is told", async || lost(&one)).await;
    assert_eq!((one.last(), two.epoch()), (None, 2));
    one.stop().await;
    std::fs::write(&file, kept).unwrap();
    let one = world.start_at("n1", address, &[]).await;
    agreed(&[one, two], &[(1, 4), (2, 1)]).await;
}

#[tokio::test]
async fn a_number_that_somebody_makes_up_does_not_stop_the_seat() {
    let mut world = World::new();
    let one = world.start("n1", &[]).await;
    until("it has founded", async || one.epoch() == 1).await;
    let founding = one.ask(|members| members.membership.as_ref().unwrap().founding).await;
    // Somebody with a certificate who was never let in.
    let (stranger, mut events) = world.transport("n2", free_address()).await;
    stranger.join(one.address);
    until("it is linked", async || matches!(events.recv().await, Some(Event::Up { .. }))).await;
    // A number that cannot be is counted, so what was said before it was heard.
    let mut said = 0;
    let mut says = async |epoch| {
        for epoch in [epoch, u64::MAX] {
            assert!(stranger.gossip(1, Message::Beacon { founding, epoch }.encode()));
        }
        said += 1;
        let refused = async || one.ask(|members| members.status()).await.counters.gossip_refused;
        until("it is heard", async || refused().await >= said).await;
    };
    says(0).await;
    let three = world.start("n3", &[one.address]).await;
    until("another is let in", async || three.last().is_some()).await;

    let exile = async || one.ask(|members| members.exile("n3")).await.await.unwrap();
    says(1 << 31).await;
    let doubted = ChangeRefused::Doubted { by: "n2".into(), present: 2, later: 1 << 31 };
    assert_eq!(exile().await, Err(doubted));
    says(1).await;
    says(1 << 31).await;
    assert_eq!(exile().await, Ok(MembershipEpoch(3)), "it has been heard once");
}

#[cfg(not(feature = "etcd"))]
#[tokio::test]
async fn a_binary_without_etcd_says_so() {
    let mut world = World::new();
    let transport = world.transport("n1", free_address()).await;
    let config = MembersConfig {
        address: free_address(),
        join: Vec::new(),
        state: world.state("n1"),
        decides: Decides::Etcd(vec!["http://127.0.0.1:2379".into()]),
    };
    assert!(matches!(Members::start(config, transport.0), Err(MembersError::NoEtcd)));
}
