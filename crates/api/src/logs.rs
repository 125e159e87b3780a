//! CloudWatch Logs: the wire in front of [`telemetry::Logs`].
//! <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/Welcome.html>

use std::collections::BTreeMap;

use aws::Error;
use aws::logs::{
    CreateLogGroupRequest, CreateLogGroupResponse, CreateLogStreamRequest, CreateLogStreamResponse,
    DeleteLogGroupRequest, DeleteLogGroupResponse, DeleteLogStreamRequest, DeleteLogStreamResponse,
    DeleteRetentionPolicyRequest, DeleteRetentionPolicyResponse, DescribeLogGroupsRequest,
    DescribeLogGroupsResponse, DescribeLogStreamsRequest, DescribeLogStreamsResponse, ErrorKind,
    FilterLogEventsRequest, FilterLogEventsResponse, GetLogEventsRequest, GetLogEventsResponse,
    ListTagsForResourceRequest, ListTagsForResourceResponse, LogGroupClass, Logs, OrderBy,
    PutLogEventsRequest, PutLogEventsResponse, PutRetentionPolicyRequest,
    PutRetentionPolicyResponse, TagResourceRequest, TagResourceResponse, UntagResourceRequest,
    UntagResourceResponse,
};
use stdx::Timestamp;
use telemetry::{FilterQuery, GetQuery, InputEvent, LogsError, StreamOrder, StreamQuery};

use crate::door::{Caller, Door};
use crate::logs_view as show;

/// A refusal or failure of the log store as CloudWatch Logs answers it.
fn error(error: &LogsError) -> Error {
    match ErrorKind::from_code(error.code()) {
        Some(kind) if kind.http_status() < 500 => kind.with(error.to_string()),
        _ => {
            tracing::error!(error = stdx::chain(error), "the log store failed");
            ErrorKind::ServiceUnavailableException
                .with("The log store failed, and nothing was done. The server's log says why.")
        }
    }
}

fn invalid(message: impl Into<String>) -> Error {
    ErrorKind::InvalidParameterException.with(message)
}

fn not_built(member: &str, what: &str) -> Error {
    invalid(format!("{member}: {what} not built yet in Wharf; leave it out."))
}

fn required(member: &str, value: Option<String>) -> Result<String, Error> {
    value.filter(|value| !value.is_empty()).ok_or_else(|| {
        invalid(format!(
            "1 validation error detected: Value at '{member}' failed to satisfy constraint: Member \
             must not be null"
        ))
    })
}

impl Door {
    fn logs(&self) -> &telemetry::Logs {
        &self.config().logs
    }

    /// The group that a request names, by name or by identifier, but not by both.
    fn group(&self, name: Option<String>, identifier: Option<String>) -> Result<String, Error> {
        match (name, identifier) {
            (Some(_), Some(_)) => {
                Err(invalid("Either logGroupName or logGroupIdentifier can be given, not both."))
            }
            (None, Some(identifier)) => self.logs().group_name(&identifier).map_err(|e| error(&e)),
            (name, None) => required("logGroupName", name),
        }
    }

    /// The group that an ARN names, with or without `:*` at its end.
    fn group_of_arn(&self, arn: Option<String>) -> Result<String, Error> {
        let arn = required("resourceArn", arn)?;
        if !arn.starts_with("arn:") {
            return Err(invalid(format!("resourceArn: \"{arn}\" is not an ARN.")));
        }
        self.logs().group_name(&arn).map_err(|e| error(&e))
    }
}

impl Logs for Door {
    type Context = Caller;

    async fn create_log_group(
        &self,
        _: &Caller,
        request: CreateLogGroupRequest,
    ) -> Result<CreateLogGroupResponse, Error> {
        if request.kms_key_id.is_some_and(|key| !key.is_empty()) {
            return Err(not_built("kmsKeyId", "encryption by KMS is"));
        }
        if request.deletion_protection_enabled == Some(true) {
            return Err(not_built("deletionProtectionEnabled", "protection from deletion is"));
        }
        if request.log_group_class.is_some_and(|class| class != LogGroupClass::Standard) {
            return Err(not_built("logGroupClass", "classes other than STANDARD are"));
        }
        let name = required("logGroupName", request.log_group_name)?;
        let tags = request.tags.unwrap_or_default();
        self.logs().create_group(&name, tags).await.map_err(|e| error(&e))?;
        Ok(CreateLogGroupResponse::default())
    }

    async fn delete_log_group(
        &self,
        _: &Caller,
        request: DeleteLogGroupRequest,
    ) -> Result<DeleteLogGroupResponse, Error> {
        let name = required("logGroupName", request.log_group_name)?;
        self.logs().delete_group(&name).await.map_err(|e| error(&e))?;
        Ok(DeleteLogGroupResponse::default())
    }

    async fn describe_log_groups(
        &self,
        _: &Caller,
        request: DescribeLogGroupsRequest,
    ) -> Result<DescribeLogGroupsResponse, Error> {
        if request.account_identifiers.is_some_and(|list| !list.is_empty())
            || request.include_linked_accounts == Some(true)
        {
            return Err(not_built("accountIdentifiers", "groups of other accounts are"));
        }
        if request.log_group_identifiers.is_some_and(|list| !list.is_empty()) {
            return Err(not_built("logGroupIdentifiers", "a choice by identifiers is"));
        }
        // Every group is of the standard class.
        if request.log_group_class.is_some_and(|class| class != LogGroupClass::Standard) {
            return Ok(DescribeLogGroupsResponse {
                log_groups: Some(Vec::new()),
                next_token: None,
            });
        }
        let page = self
            .logs()
            .describe_groups(
                request.log_group_name_prefix.as_deref(),
                request.log_group_name_pattern.as_deref(),
                request.limit.map(i64::from),
                request.next_token.as_deref(),
            )
            .await
            .map_err(|e| error(&e))?;
        Ok(DescribeLogGroupsResponse {
            log_groups: Some(page.items.into_iter().map(show::group).collect()),
            next_token: page.next_token,
        })
    }

    async fn create_log_stream(
        &self,
        _: &Caller,
        request: CreateLogStreamRequest,
    ) -> Result<CreateLogStreamResponse, Error> {
        let group = required("logGroupName", request.log_group_name)?;
        let stream = required("logStreamName", request.log_stream_name)?;
        self.logs().create_stream(&group, &stream).await.map_err(|e| error(&e))?;
        Ok(CreateLogStreamResponse::default())
    }

    async fn delete_log_stream(
        &self,
        _: &Caller,
        request: DeleteLogStreamRequest,
    ) -> Result<DeleteLogStreamResponse, Error> {
        let group = required("logGroupName", request.log_group_name)?;
        let stream = required("logStreamName", request.log_stream_name)?;
        self.logs().delete_stream(&group, &stream).await.map_err(|e| error(&e))?;
        Ok(DeleteLogStreamResponse::default())
    }

    async fn describe_log_streams(
        &self,
        _: &Caller,
        request: DescribeLogStreamsRequest,
    ) -> Result<DescribeLogStreamsResponse, Error> {
        let group = self.group(request.log_group_name, request.log_group_identifier)?;
        let query = StreamQuery {
            prefix: request.log_stream_name_prefix,
            order: match request.order_by {
                Some(OrderBy::LastEventTime) => StreamOrder::LastEventTime,
                _ => StreamOrder::LogStreamName,
            },
            descending: request.descending.unwrap_or(false),
            limit: request.limit.map(i64::from),
            next_token: request.next_token,
        };
        let page = self.logs().describe_streams(&group, query).await.map_err(|e| error(&e))?;
        Ok(DescribeLogStreamsResponse {
            log_streams: Some(page.items.into_iter().map(show::stream).collect()),
            next_token: page.next_token,
        })
    }

    /// A sequence token is taken and not looked at, as AWS does since 2023: batches of one stream
    /// may come in any order. Entities are answered as rejected, by the member that AWS has for it.
    async fn put_log_events(
        &self,
        _: &Caller,
        request: PutLogEventsRequest,
    ) -> Result<PutLogEventsResponse, Error> {
        let group = required("logGroupName", request.log_group_name)?;
        let stream = required("logStreamName", request.log_stream_name)?;
        let events = request
            .log_events
            .unwrap_or_default()
            .into_iter()
            .map(|event| InputEvent {
                timestamp: Timestamp::from_millis(event.timestamp.unwrap_or(0)),
                message: event.message.unwrap_or_default(),
            })
            .collect();
        let entity = request.entity.is_some();
        let outcome =
            self.logs().put_events(&group, &stream, events).await.map_err(|e| error(&e))?;
        Ok(show::put(&outcome, entity))
    }

    async fn get_log_events(
        &self,
        _: &Caller,
        request: GetLogEventsRequest,
    ) -> Result<GetLogEventsResponse, Error> {
        let group = self.group(request.log_group_name, request.log_group_identifier)?;
        let stream = required("logStreamName", request.log_stream_name)?;
        let query = GetQuery {
            start: request.start_time.map(Timestamp::from_millis),
            end: request.end_time.map(Timestamp::from_millis),
            from_head: request.start_from_head.unwrap_or(false),
            limit: request.limit.map(i64::from),
            next_token: request.next_token,
        };
        let page = self.logs().get_events(&group, &stream, query).await.map_err(|e| error(&e))?;
        Ok(GetLogEventsResponse {
            events: Some(page.events.into_iter().map(show::event).collect()),
            next_forward_token: Some(page.forward_token),
            next_backward_token: Some(page.backward_token),
        })
    }

    /// Events are always interleaved and never masked, so `interleaved` and `unmask` change nothing.
    async fn filter_log_events(
        &self,
        _: &Caller,
        request: FilterLogEventsRequest,
    ) -> Result<FilterLogEventsResponse, Error> {
        if request.start_from_head == Some(false) {
            return Err(not_built("startFromHead", "searching from the end is"));
        }
        let group = self.group(request.log_group_name, request.log_group_identifier)?;
        let query = FilterQuery {
            streams: request.log_stream_names.unwrap_or_default(),
            stream_prefix: request.log_stream_name_prefix,
            start: request.start_time.map(Timestamp::from_millis),
            end: request.end_time.map(Timestamp::from_millis),
            pattern: request.filter_pattern,
            limit: request.limit.map(i64::from),
            next_token: request.next_token,
        };
        let page = self.logs().filter_events(&group, query).await.map_err(|e| error(&e))?;
        Ok(FilterLogEventsResponse {
            events: Some(page.events.into_iter().map(show::found).collect()),
            searched_log_streams: Some(Vec::new()),
            next_token: page.next_token,
        })
    }

    async fn put_retention_policy(
        &self,
        _: &Caller,
        request: PutRetentionPolicyRequest,
    ) -> Result<PutRetentionPolicyResponse, Error> {
        let group = required("logGroupName", request.log_group_name)?;
        let days = i64::from(request.retention_in_days.unwrap_or(0));
        self.logs().put_retention(&group, days).await.map_err(|e| error(&e))?;
        Ok(PutRetentionPolicyResponse::default())
    }

    async fn delete_retention_policy(
        &self,
        _: &Caller,
        request: DeleteRetentionPolicyRequest,
    ) -> Result<DeleteRetentionPolicyResponse, Error> {
        let group = required("logGroupName", request.log_group_name)?;
        self.logs().delete_retention(&group).await.map_err(|e| error(&e))?;
        Ok(DeleteRetentionPolicyResponse::default())
    }

    async fn tag_resource(
        &self,
        _: &Caller,
        request: TagResourceRequest,
    ) -> Result<TagResourceResponse, Error> {
        let group = self.group_of_arn(request.resource_arn)?;
        let tags: BTreeMap<String, String> = request.tags.unwrap_or_default();
        self.logs().tag_group(&group, tags).await.map_err(|e| error(&e))?;
        Ok(TagResourceResponse::default())
    }

    async fn untag_resource(
        &self,
        _: &Caller,
        request: UntagResourceRequest,
    ) -> Result<UntagResourceResponse, Error> {
        let group = self.group_of_arn(request.resource_arn)?;
        let keys = request.tag_keys.unwrap_or_default();
        self.logs().untag_group(&group, keys).await.map_err(|e| error(&e))?;
        Ok(UntagResourceResponse::default())
    }

    async fn list_tags_for_resource(
        &self,
        _: &Caller,
        request: ListTagsForResourceRequest,
    ) -> Result<ListTagsForResourceResponse, Error> {
        let group = self.group_of_arn(request.resource_arn)?;
        let tags = self.logs().group_tags(&group).await.map_err(|e| error(&e))?;
        Ok(ListTagsForResourceResponse { tags: Some(tags) })
    }
}
