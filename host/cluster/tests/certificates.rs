//! Certificates as a person makes, breaks and replaces them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gc_cluster::authority::{Authority, NODE_DAYS};
use gc_cluster::limits::CERTIFICATES_LOOK;
use gc_cluster::{AuthorityError, Credentials, CredentialsError, Watch};

fn cluster(name: &str) -> (tempfile::TempDir, Authority) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::init(folder.path(), name).unwrap();
    (folder, authority)
}

fn error_of(folder: &Path) -> CredentialsError {
    Credentials::load(folder).expect_err("these cannot be used")
}

#[test]
fn a_node_is_who_its_certificate_says() {
    let (certs, mut authority) = cluster("shop");
    for (name, number) in [("n1", 1), ("n2", 2), ("n1", 1)] {
        let folder = certs.path().join(name);
        let issued = authority.issue(name, &folder, NODE_DAYS).unwrap();
        assert_eq!((issued.name.as_str(), issued.number), (name, number));
        assert_eq!(Credentials::load(&folder).unwrap().identity, issued);
    }
    let mut again = Authority::open(certs.path()).unwrap();
    assert_eq!((again.cluster(), again.nodes().len()), ("shop", 2));
    assert_eq!(again.issue("n3", &certs.path().join("n3"), NODE_DAYS).unwrap().number, 3);
}

#[test]
fn an_authority_is_not_made_twice_and_not_guessed() {
    let (certs, _) = cluster("shop");
    assert!(matches!(Authority::init(certs.path(), "shop"), Err(AuthorityError::Exists(_))));
    assert!(matches!(Authority::open(&certs.path().join("none")), Err(AuthorityError::Missing(_))));
    assert!(matches!(Authority::init(&certs.path().join("x"), "../x"), Err(AuthorityError::BadName(_))));
}

#[test]
fn the_folder_of_another_node_is_not_overwritten() {
    let (certs, mut authority) = cluster("shop");
    let folder = certs.path().join("n1");
    authority.issue("n1", &folder, NODE_DAYS).unwrap();
    let refused = authority.issue("n2", &folder, NODE_DAYS).unwrap_err();
    assert!(matches!(refused, AuthorityError::OtherNode { .. }), "{refused}");
    assert_eq!(Credentials::load(&folder).unwrap().identity.name, "n1");
}

#[test]
fn a_damaged_list_of_nodes_is_not_taken_for_an_empty_one() {
    let (certs, mut authority) = cluster("shop");
    authority.issue("n1", &certs.path().join("n1"), NODE_DAYS).unwrap();
    let list = certs.path().join("authority/nodes.txt");
    for text in ["1", "x n1\n", "0 n1\n", "1 n1\n1 n2\n", "1 n1\n2 n1\n", "1 N\n", "4294967295 n1\n"] {
        fs::write(&list, text).unwrap();
        let refused = Authority::open(certs.path()).unwrap_err();
        assert!(matches!(refused, AuthorityError::Damaged { .. }), "{text:?}: {refused}");
    }
}

#[test]
fn what_is_wrong_with_a_folder_is_said_by_name() {
    let (certs, mut authority) = cluster("shop");
    let folder = certs.path().join("n1");
    authority.issue("n1", &folder, NODE_DAYS).unwrap();
    let original = |name: &str| fs::read(folder.join(name)).unwrap();
    let (authority_pem, node_pem, node_key) =
        (original("authority.pem"), original("node.pem"), original("node.key"));

    assert!(matches!(error_of(&certs.path().join("none")), CredentialsError::Unreadable { .. }));

    fs::write(folder.join("node.pem"), "").unwrap();
    assert!(matches!(error_of(&folder), CredentialsError::Damaged { .. }));
    fs::write(folder.join("node.pem"), &node_pem[..node_pem.len() / 2]).unwrap();
    assert!(matches!(error_of(&folder), CredentialsError::Damaged { .. }));
    // An authority's certificate is none of a node's.
    fs::write(folder.join("node.pem"), &authority_pem).unwrap();
    assert!(matches!(error_of(&folder), CredentialsError::NoIdentity { .. }));
    fs::write(folder.join("node.pem"), &node_pem).unwrap();

    fs::set_permissions(folder.join("node.key"), fs::Permissions::from_mode(0o640)).unwrap();
    let open = error_of(&folder);
    assert!(matches!(open, CredentialsError::OpenKey { mode: 0o640, .. }), "{open}");
    fs::set_permissions(folder.join("node.key"), fs::Permissions::from_mode(0o600)).unwrap();

    let (other, mut stranger) = cluster("shop");
    let theirs = other.path().join("n1");
    stranger.issue("n1", &theirs, NODE_DAYS).unwrap();
    fs::copy(theirs.join("node.key"), folder.join("node.key")).unwrap();
    assert!(matches!(error_of(&folder), CredentialsError::Unfit { .. }), "a key of another certificate");
    fs::write(folder.join("node.key"), &node_key).unwrap();
    fs::copy(theirs.join("authority.pem"), folder.join("authority.pem")).unwrap();
    assert!(matches!(error_of(&folder), CredentialsError::Unfit { .. }), "an authority of the same name");
    fs::write(folder.join("authority.pem"), &authority_pem).unwrap();
    Credentials::load(&folder).unwrap();
}

#[test]
fn an_expired_certificate_is_refused() {
    let (certs, mut authority) = cluster("shop");
    let folder = certs.path().join("n1");
    authority.issue("n1", &folder, -1).unwrap();
    let refused = error_of(&folder);
    assert!(matches!(refused, CredentialsError::Unfit { .. }), "{refused}");
    assert!(refused.to_string().contains("host cert rotate"), "{refused}");
}

/// What a watch has found, once it has.
fn noticed(watch: &Watch) -> Result<Arc<Credentials>, CredentialsError> {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = watch.changed() {
            return found;
        }
        assert!(Instant::now() < until, "nothing is noticed");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_replaced_certificate_is_noticed_once() {
    let (certs, mut authority) = cluster("shop");
    let folder = certs.path().join("n1");
    authority.issue("n1", &folder, 30).unwrap();
    let watch = Watch::new(&folder);
    authority.issue("n1", &folder, 60).unwrap();
    let fresh = noticed(&watch).expect("it was replaced");
    assert_eq!(fresh.expires_unix_seconds, Credentials::load(&folder).unwrap().expires_unix_seconds);
    std::thread::sleep(3 * CERTIFICATES_LOOK);
    assert!(watch.changed().is_none(), "it was replaced once");
    fs::remove_file(folder.join("node.pem")).unwrap();
    assert!(noticed(&watch).is_err());
}

#[test]
fn a_file_that_cannot_be_read_to_its_end_holds_nobody_up() {
    let (certs, mut authority) = cluster("shop");
    let folder = certs.path().join("n1");
    authority.issue("n1", &folder, NODE_DAYS).unwrap();
    let watch = Watch::new(&folder);
    let (pem, whole) = (folder.join("node.pem"), fs::read(folder.join("node.pem")).unwrap());
    fs::remove_file(&pem).unwrap();
    // Whoever opens it waits until somebody writes.
    assert!(Command::new("mkfifo").arg(&pem).status().unwrap().success());
    let began = Instant::now();
    while began.elapsed() < 4 * CERTIFICATES_LOOK {
        assert!(watch.changed().is_none());
        std::thread::sleep(CERTIFICATES_LOOK / 10);
    }
    fs::write(&pem, "at last").unwrap();
    assert!(matches!(noticed(&watch), Err(CredentialsError::Damaged { .. })));
    fs::remove_file(&pem).unwrap();
    fs::write(&pem, whole).unwrap();
    noticed(&watch).expect("it is itself again");
}

#[test]
fn while_an_authority_is_replaced_both_are_believed() {
    let (certs, mut authority) = cluster("shop");
    let (one, two) = (certs.path().join("n1"), certs.path().join("n2"));
    authority.issue("n1", &one, NODE_DAYS).unwrap();
    authority.issue("n2", &two, NODE_DAYS).unwrap();
    authority.renew().unwrap();
    for folder in [&one, &two] {
        authority.bundle(folder).unwrap();
        Credentials::load(folder).expect("signed by the old one, which is still believed");
    }
    let mut authority = Authority::open(certs.path()).unwrap();
    authority.issue("n1", &one, NODE_DAYS).unwrap();
    Credentials::load(&one).expect("signed by the new one");
    // A second renewal forgets the first authority.
    authority.renew().unwrap();
    authority.bundle(&two).unwrap();
    assert!(matches!(error_of(&two), CredentialsError::Unfit { .. }));
    authority.bundle(&one).unwrap();
    Credentials::load(&one).unwrap();
}
