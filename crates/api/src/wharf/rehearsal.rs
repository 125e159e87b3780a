//! Operations of ECS that are played and not done: read as ECS reads them, refused as ECS refuses them,
//! and then handed to [`scheduler::foresee`] instead of the store. What is not here cannot be planned,
//! and says so by the generated trait.

use std::sync::Mutex;

use aws::Error;
use aws::ecs::{
    CreateServiceRequest, CreateServiceResponse, DeleteServiceRequest, DeleteServiceResponse,
    DeregisterContainerInstanceRequest, DeregisterContainerInstanceResponse, Ecs, RunTaskRequest,
    RunTaskResponse, StopTaskRequest, StopTaskResponse, UpdateContainerInstancesStateRequest,
    UpdateContainerInstancesStateResponse, UpdateServiceRequest, UpdateServiceResponse,
};
use aws::wharf::PlanChangeResponse;
use scheduler::{Command, Habits};

use super::view;
use crate::door::{Caller, Door};
use crate::{errors, instances, run, services, tasks};

/// The seed of every rehearsal, so that the same question has the same answer.
const SEED: u64 = 7;

/// One operation that is played.
pub(super) struct Rehearsal<'a> {
    door: &'a Door,
    result: Mutex<Option<PlanChangeResponse>>,
}

impl<'a> Rehearsal<'a> {
    pub(super) fn new(door: &'a Door) -> Self {
        Self { door, result: Mutex::new(None) }
    }

    /// What came of it.
    pub(super) fn result(self) -> Result<PlanChangeResponse, Error> {
        let result = self.result.into_inner().ok().flatten();
        result.ok_or_else(|| errors::server("The rehearsal had no result."))
    }

    fn play(&self, commands: &[Command]) -> Result<(), Error> {
        let (state, now) = (self.door.snapshot(), self.door.now());
        let foresight = scheduler::foresee(&state, commands, now, SEED, Habits::default())
            .map_err(|rejection| errors::rejection(self.door.realm(), &rejection))?;
        if let Ok(mut result) = self.result.lock() {
            *result = Some(view::foresight(self.door.realm(), &foresight));
        }
        Ok(())
    }
}

impl Ecs for Rehearsal<'_> {
    type Context = Caller;

    async fn create_service(
        &self,
        caller: &Caller,
        request: CreateServiceRequest,
    ) -> Result<CreateServiceResponse, Error> {
        let command = services::read_create(&self.door.snapshot(), caller, &request)?;
        self.play(&[Command::CreateService(command)])?;
        Ok(CreateServiceResponse::default())
    }

    async fn update_service(
        &self,
        _: &Caller,
        request: UpdateServiceRequest,
    ) -> Result<UpdateServiceResponse, Error> {
        let command = services::read_update(&self.door.snapshot(), &request)?;
        self.play(&[Command::UpdateService(command)])?;
        Ok(UpdateServiceResponse::default())
    }

    async fn delete_service(
        &self,
        _: &Caller,
        request: DeleteServiceRequest,
    ) -> Result<DeleteServiceResponse, Error> {
        self.play(&[services::read_delete(&self.door.snapshot(), &request)?])?;
        Ok(DeleteServiceResponse::default())
    }

    async fn run_task(
        &self,
        _: &Caller,
        request: RunTaskRequest,
    ) -> Result<RunTaskResponse, Error> {
        let run = run::read_run(&self.door.snapshot(), &request)?;
        self.play(&[Command::RunTask(run)])?;
        Ok(RunTaskResponse::default())
    }

    async fn stop_task(
        &self,
        _: &Caller,
        request: StopTaskRequest,
    ) -> Result<StopTaskResponse, Error> {
        self.play(&[tasks::read_stop(&self.door.snapshot(), &request)?])?;
        Ok(StopTaskResponse::default())
    }

    async fn update_container_instances_state(
        &self,
        _: &Caller,
        request: UpdateContainerInstancesStateRequest,
    ) -> Result<UpdateContainerInstancesStateResponse, Error> {
        self.play(&instances::read_update(&self.door.snapshot(), &request)?)?;
        Ok(UpdateContainerInstancesStateResponse::default())
    }

    async fn deregister_container_instance(
        &self,
        _: &Caller,
        request: DeregisterContainerInstanceRequest,
    ) -> Result<DeregisterContainerInstanceResponse, Error> {
        self.play(&[instances::read_deregister(&self.door.snapshot(), &request)?])?;
        Ok(DeregisterContainerInstanceResponse::default())
    }
}
