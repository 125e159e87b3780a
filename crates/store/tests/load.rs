//! What was written is read back, by one thread or by two, and what cannot be read is named.

use std::sync::Arc;

use model::{
    Change, ContainerFacts, DefinitionKey, LaunchType, Loading, Realm, Resources, Revision, State,
    Tags, TaskFacts, TaskKey, TaskProgress, TaskStatus,
};
use stdx::{Entropy, SeededEntropy, Timestamp};
use store::{Engine, EngineError, MemoryEngine, RedbEngine, Write};

fn realm() -> Realm {
    Realm::new("us-east-1", "123456789012")
}

/// So many tasks that run, with what they were asked to be and how far they have come.
fn tasks(count: u32) -> Vec<Change> {
    let mut chance = SeededEntropy::new(7);
    (0..count).flat_map(|n| task(n, &mut chance)).collect()
}

fn task(n: u32, chance: &mut dyn Entropy) -> [Change; 2] {
    let facts = TaskFacts {
        key: TaskKey { cluster: format!("cluster-{}", n % 3).into(), task: chance.hex32().into() },
        definition: DefinitionKey { family: "web".into(), revision: Revision(n % 5 + 1) },
        instance: Some(format!("node-{}", n % 7).into()),
        host: None,
        provider: None,
        terms: None,
        launch_type: LaunchType::Ec2,
        group: "family:web".into(),
        started_by: None,
        service: None,
        deployment: None,
        overrides: None,
        reserved: Resources { cpu: 8, memory: 8, ..Resources::default() },
        containers: vec![ContainerFacts {
            name: "app".into(),
            id: chance.uuid(),
            gpus: Vec::new(),
        }],
        tags: Tags::default(),
        enable_ecs_managed_tags: false,
        enable_execute_command: false,
        network: None,
        created_at: Timestamp::from_millis(i64::from(n)),
    };
    let mut progress = TaskProgress::first(&facts);
    (progress.status, progress.version) = (TaskStatus::Running, 2);
    let key = facts.key.clone();
    [Change::PutTask(Arc::new(facts)), Change::PutProgress(key, Arc::new(progress))]
}

fn load(engine: &mut dyn Engine) -> Result<(State, u64), EngineError> {
    let mut loading = Loading::new(realm());
    let revision = engine.load(&mut |change| loading.take(change))?;
    Ok((loading.finish(), revision))
}

#[test]
fn what_was_written_is_loaded() {
    // With the second number a second thread reads.
    for count in [10, 10_100] {
        let changes = tasks(count);
        let mut state = State::new(realm());
        changes.iter().for_each(|change| state.apply(change));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.redb");
        let engines: [Box<dyn Engine>; 2] =
            [Box::new(MemoryEngine::default()), Box::new(RedbEngine::open(&path).unwrap())];
        for mut engine in engines {
            engine.commit(3, &store::writes(&changes).unwrap()).unwrap();
            let (loaded, revision) = load(&mut *engine).unwrap();
            assert_eq!(revision, 3);
            assert!(loaded == state, "{engine:?} of {count} tasks");
            assert_eq!(loaded.all_tasks().count(), count as usize);
        }
    }
}

#[test]
fn a_record_that_cannot_be_read_is_named_in_either_half() {
    for key in ["a/default", "f/default/1", "g/default/1", "zk/x"] {
        let folder = tempfile::tempdir().unwrap();
        let mut engine = RedbEngine::open(&folder.path().join("state.redb")).unwrap();
        engine.commit(1, &store::writes(&tasks(10_100)).unwrap()).unwrap();
        let damage = Write { key: key.to_owned(), value: Some(vec![0xc1]) };
        engine.commit(2, &[damage]).unwrap();
        let error = load(&mut engine).unwrap_err();
        assert!(matches!(&error, EngineError::Record { key: at, .. } if at == key), "{error}");
    }
}
