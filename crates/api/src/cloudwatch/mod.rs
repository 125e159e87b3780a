//! CloudWatch: the wire in front of [`telemetry::Metrics`].
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/Welcome.html>
//!
//! Metrics and metric alarms are built. Composite alarms, anomaly detection, dashboards, insight rules
//! and metric streams are typed only and answer 501.

mod alarms;
mod data;
mod forms;
mod query;
mod token;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use aws::Error;
use aws::cloudwatch::{
    CloudWatch, DeleteAlarmsInput, DeleteAlarmsResponse, DescribeAlarmHistoryInput,
    DescribeAlarmHistoryOutput, DescribeAlarmsForMetricInput, DescribeAlarmsForMetricOutput,
    DescribeAlarmsInput, DescribeAlarmsOutput, DisableAlarmActionsInput,
    DisableAlarmActionsResponse, EnableAlarmActionsInput, EnableAlarmActionsResponse, ErrorKind,
    GetMetricDataInput, GetMetricDataOutput, GetMetricStatisticsInput, GetMetricStatisticsOutput,
    ListMetricsInput, ListMetricsOutput, ListTagsForResourceInput, ListTagsForResourceOutput,
    PutMetricAlarmInput, PutMetricAlarmResponse, PutMetricDataInput, PutMetricDataResponse,
    SetAlarmStateInput, SetAlarmStateResponse, Tag, TagResourceInput, TagResourceOutput,
    UntagResourceInput, UntagResourceOutput,
};
use telemetry::metrics::Refused;
use telemetry::metrics::alarm::{AlarmQuery, alarm_name};
use telemetry::{Metrics, MetricsError};

use crate::door::{Caller, Door};

/// A refusal or failure of the metric store as CloudWatch answers it.
fn error(error: &MetricsError) -> Error {
    match error {
        MetricsError::Refused { kind, why } => kind_of(*kind).with(why.clone()),
        other => {
            tracing::error!(error = stdx::chain(other), "the metric store failed");
            ErrorKind::InternalServiceFault
                .with("The metric store failed, and nothing was done. The server's log says why.")
        }
    }
}

const fn kind_of(refused: Refused) -> ErrorKind {
    match refused {
        Refused::Value => ErrorKind::InvalidParameterValueException,
        Refused::Combination => ErrorKind::InvalidParameterCombinationException,
        Refused::Missing => ErrorKind::MissingRequiredParameterException,
        Refused::Validation => ErrorKind::ValidationException,
        Refused::Token => ErrorKind::InvalidNextToken,
        Refused::Limit => ErrorKind::LimitExceededFault,
        Refused::NotFound => ErrorKind::ResourceNotFound,
    }
}

fn value(message: impl Into<String>) -> Error {
    ErrorKind::InvalidParameterValueException.with(message)
}

fn validation(message: impl Into<String>) -> Error {
    ErrorKind::ValidationException.with(message)
}

fn combination(message: impl Into<String>) -> Error {
    ErrorKind::InvalidParameterCombinationException.with(message)
}

fn missing(parameter: &str) -> Error {
    let why = format!("The parameter {parameter} is required.");
    ErrorKind::MissingRequiredParameterException.with(why)
}

/// Refuses a member whose wish is not built.
fn not_built(member: &str, what: &str) -> Error {
    validation(format!("{member}: {what} not built yet in Wharf; leave it out."))
}

/// Text that the model requires and that has been checked to be there.
fn given(text: Option<String>) -> String {
    text.unwrap_or_default()
}

fn tags(list: Option<Vec<Tag>>) -> Result<BTreeMap<String, String>, Error> {
    let mut tags = BTreeMap::new();
    for tag in list.unwrap_or_default() {
        let key = given(tag.key);
        if tags.insert(key.clone(), given(tag.value)).is_some() {
            return Err(value(format!("Duplicate tag keys found: \"{key}\" is given twice.")));
        }
    }
    Ok(tags)
}

impl Door {
    fn measurements(&self) -> &Metrics {
        &self.config().telemetry
    }

    /// The alarm that an ARN names; nothing else of CloudWatch has tags here.
    fn tagged_alarm(&self, arn: Option<String>) -> Result<String, Error> {
        let arn = given(arn);
        let own = format!(
            "arn:{}:cloudwatch:{}:{}:",
            self.realm().partition,
            self.realm().region,
            self.realm().account
        );
        let name = alarm_name(&arn).filter(|_| arn.starts_with(&own));
        let found = name.and_then(|name| {
            let query = AlarmQuery { names: vec![name.to_owned()], ..AlarmQuery::default() };
            self.measurements().alarms(&query).into_iter().next()
        });
        found.map(|alarm| alarm.config.name.clone()).ok_or_else(|| {
            let why = format!("{arn} names no alarm of this account and region.");
            ErrorKind::ResourceNotFoundException.with(why)
        })
    }
}

impl CloudWatch for Door {
    type Context = Caller;

    async fn put_metric_data(
        &self,
        _: &Caller,
        request: PutMetricDataInput,
    ) -> Result<PutMetricDataResponse, Error> {
        let samples = data::samples(request, self.now())?;
        self.measurements().put(samples).await.map_err(|e| error(&e))?;
        Ok(PutMetricDataResponse::default())
    }

    async fn list_metrics(
        &self,
        _: &Caller,
        request: ListMetricsInput,
    ) -> Result<ListMetricsOutput, Error> {
        data::list(self.measurements(), &self.realm().account, request)
    }

    async fn get_metric_statistics(
        &self,
        _: &Caller,
        request: GetMetricStatisticsInput,
    ) -> Result<GetMetricStatisticsOutput, Error> {
        query::statistics(self.measurements(), request)
    }

    async fn get_metric_data(
        &self,
        _: &Caller,
        request: GetMetricDataInput,
    ) -> Result<GetMetricDataOutput, Error> {
        query::data(self.measurements(), &self.realm().account, request, self.now())
    }

    async fn put_metric_alarm(
        &self,
        _: &Caller,
        mut request: PutMetricAlarmInput,
    ) -> Result<PutMetricAlarmResponse, Error> {
        let tags = tags(request.tags.take())?;
        let config = alarms::config(request, &self.realm().account)?;
        self.measurements().put_alarm(config, tags).await.map_err(|e| error(&e))?;
        Ok(PutMetricAlarmResponse::default())
    }

    async fn delete_alarms(
        &self,
        _: &Caller,
        request: DeleteAlarmsInput,
    ) -> Result<DeleteAlarmsResponse, Error> {
        let names = request.alarm_names.unwrap_or_default();
        self.measurements().delete_alarms(names).await.map_err(|e| error(&e))?;
        Ok(DeleteAlarmsResponse::default())
    }

    async fn describe_alarms(
        &self,
        _: &Caller,
        request: DescribeAlarmsInput,
    ) -> Result<DescribeAlarmsOutput, Error> {
        alarms::describe(self.measurements(), request)
    }

    async fn describe_alarms_for_metric(
        &self,
        _: &Caller,
        request: DescribeAlarmsForMetricInput,
    ) -> Result<DescribeAlarmsForMetricOutput, Error> {
        alarms::of_metric(self.measurements(), request)
    }

    async fn describe_alarm_history(
        &self,
        _: &Caller,
        request: DescribeAlarmHistoryInput,
    ) -> Result<DescribeAlarmHistoryOutput, Error> {
        alarms::history(self.measurements(), request)
    }

    async fn set_alarm_state(
        &self,
        _: &Caller,
        request: SetAlarmStateInput,
    ) -> Result<SetAlarmStateResponse, Error> {
        let state = forms::state(request.state_value.as_ref())?;
        let (name, reason) = (given(request.alarm_name), given(request.state_reason));
        let set =
            self.measurements().set_alarm_state(&name, state, reason, request.state_reason_data);
        set.await.map_err(|e| error(&e))?;
        Ok(SetAlarmStateResponse::default())
    }

    async fn enable_alarm_actions(
        &self,
        _: &Caller,
        request: EnableAlarmActionsInput,
    ) -> Result<EnableAlarmActionsResponse, Error> {
        let names = request.alarm_names.unwrap_or_default();
        self.measurements().switch_alarms(names, true).await.map_err(|e| error(&e))?;
        Ok(EnableAlarmActionsResponse::default())
    }

    async fn disable_alarm_actions(
        &self,
        _: &Caller,
        request: DisableAlarmActionsInput,
    ) -> Result<DisableAlarmActionsResponse, Error> {
        let names = request.alarm_names.unwrap_or_default();
        self.measurements().switch_alarms(names, false).await.map_err(|e| error(&e))?;
        Ok(DisableAlarmActionsResponse::default())
    }

    async fn tag_resource(
        &self,
        _: &Caller,
        request: TagResourceInput,
    ) -> Result<TagResourceOutput, Error> {
        let (name, add) = (self.tagged_alarm(request.resource_arn)?, tags(request.tags)?);
        let tagged = self.measurements().tag_alarm(&name, add, BTreeSet::new());
        tagged.await.map_err(|e| error(&e))?;
        Ok(TagResourceOutput::default())
    }

    async fn untag_resource(
        &self,
        _: &Caller,
        request: UntagResourceInput,
    ) -> Result<UntagResourceOutput, Error> {
        let name = self.tagged_alarm(request.resource_arn)?;
        let remove = request.tag_keys.unwrap_or_default().into_iter().collect();
        let tagged = self.measurements().tag_alarm(&name, BTreeMap::new(), remove);
        tagged.await.map_err(|e| error(&e))?;
        Ok(UntagResourceOutput::default())
    }

    async fn list_tags_for_resource(
        &self,
        _: &Caller,
        request: ListTagsForResourceInput,
    ) -> Result<ListTagsForResourceOutput, Error> {
        let name = self.tagged_alarm(request.resource_arn)?;
        let query = AlarmQuery { names: vec![name], ..AlarmQuery::default() };
        let alarm = self.measurements().alarms(&query).into_iter().next();
        let tags = alarm.iter().flat_map(|alarm| &alarm.tags);
        let tag = |(key, value): (&String, &String)| Tag {
            key: Some(key.clone()),
            value: Some(value.clone()),
        };
        Ok(ListTagsForResourceOutput { tags: Some(tags.map(tag).collect()) })
    }
}
