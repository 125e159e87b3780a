//! AWS's managed policies that users of ECS attach, as data: they exist without being made.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/security-iam-awsmanpol.html>

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::{Document, Kind};

/// A policy of AWS's.
#[derive(Debug)]
pub struct Managed {
    /// Such as `AmazonECSTaskExecutionRolePolicy`.
    pub name: &'static str,
    /// `/`, or `/service-role/` and the like.
    pub path: &'static str,
    /// What it is for.
    pub description: &'static str,
    grants: &'static [Grant],
}

/// One statement, which always allows.
#[derive(Debug)]
struct Grant {
    /// Whether it is everything but the actions.
    not: bool,
    actions: &'static [&'static str],
    resources: &'static [&'static str],
    /// Operator, key, values.
    conditions: &'static [(&'static str, &'static str, &'static [&'static str])],
}

const fn any(actions: &'static [&'static str]) -> Grant {
    on(actions, &["*"])
}

const fn on(actions: &'static [&'static str], resources: &'static [&'static str]) -> Grant {
    Grant { not: false, actions, resources, conditions: &[] }
}

const fn given(
    actions: &'static [&'static str],
    resources: &'static [&'static str],
    conditions: &'static [(&'static str, &'static str, &'static [&'static str])],
) -> Grant {
    Grant { not: false, actions, resources, conditions }
}

const fn policy(
    name: &'static str,
    path: &'static str,
    description: &'static str,
    grants: &'static [Grant],
) -> Managed {
    Managed { name, path, description, grants }
}

const ECR_PULL: &[&str] = &[
    "ecr:GetAuthorizationToken",
    "ecr:BatchCheckLayerAvailability",
    "ecr:GetDownloadUrlForLayer",
    "ecr:GetRepositoryPolicy",
    "ecr:DescribeRepositories",
    "ecr:ListImages",
    "ecr:DescribeImages",
    "ecr:BatchGetImage",
    "ecr:GetLifecyclePolicy",
    "ecr:GetLifecyclePolicyPreview",
    "ecr:ListTagsForResource",
    "ecr:DescribeImageScanFindings",
];

/// Every policy, by name.
pub const ALL: &[Managed] = &[
    policy("AdministratorAccess", "/", "Everything.", &[any(&["*"])]),
    policy(
        "AmazonEC2ContainerRegistryFullAccess",
        "/",
        "All of ECR.",
        &[
            any(&["ecr:*", "cloudtrail:LookupEvents"]),
            given(
                &["iam:CreateServiceLinkedRole"],
                &["*"],
                &[("StringEquals", "iam:AWSServiceName", &["replication.ecr.amazonaws.com"])],
            ),
        ],
    ),
    policy(
        "AmazonEC2ContainerRegistryPowerUser",
        "/",
        "Pull and push images; not delete repositories.",
        &[
            any(ECR_PULL),
            any(&[
                "ecr:InitiateLayerUpload",
                "ecr:UploadLayerPart",
                "ecr:CompleteLayerUpload",
                "ecr:PutImage",
            ]),
        ],
    ),
    policy("AmazonEC2ContainerRegistryReadOnly", "/", "Pull images.", &[any(ECR_PULL)]),
    policy(
        "AmazonEC2ContainerServiceEventsRole",
        "/service-role/",
        "What EventBridge does for rules that run tasks.",
        &[
            any(&["ecs:RunTask"]),
            given(
                &["iam:PassRole"],
                &["*"],
                &[("StringLike", "iam:PassedToService", &["ecs-tasks.amazonaws.com"])],
            ),
            given(
                &["ecs:TagResource"],
                &["*"],
                &[("StringEquals", "ecs:CreateAction", &["RunTask"])],
            ),
        ],
    ),
    policy(
        "AmazonEC2ContainerServiceRole",
        "/service-role/",
        "What ECS itself did for services before it had a role of its own.",
        &[any(&[
            "ec2:AuthorizeSecurityGroupIngress",
            "ec2:Describe*",
            "elasticloadbalancing:DeregisterInstancesFromLoadBalancer",
            "elasticloadbalancing:DeregisterTargets",
            "elasticloadbalancing:Describe*",
            "elasticloadbalancing:RegisterInstancesWithLoadBalancer",
            "elasticloadbalancing:RegisterTargets",
        ])],
    ),
    policy(
        "AmazonEC2ContainerServiceforEC2Role",
        "/service-role/",
        "What a container instance does: its agent, pulling images, logs.",
        &[
            any(&[
                "ec2:DescribeTags",
                "ecs:CreateCluster",
                "ecs:DeregisterContainerInstance",
                "ecs:DiscoverPollEndpoint",
                "ecs:Poll",
                "ecs:RegisterContainerInstance",
                "ecs:StartTelemetrySession",
                "ecs:UpdateContainerInstancesState",
                "ecs:Submit*",
                "ecr:GetAuthorizationToken",
                "ecr:BatchCheckLayerAvailability",
                "ecr:GetDownloadUrlForLayer",
                "ecr:BatchGetImage",
                "logs:CreateLogStream",
                "logs:PutLogEvents",
            ]),
            given(
                &["ecs:TagResource"],
                &["*"],
                &[(
                    "StringEquals",
                    "ecs:CreateAction",
                    &["CreateCluster", "RegisterContainerInstance"],
                )],
            ),
            given(
                &["ecs:ListTagsForResource"],
                &["arn:aws:ecs:*:*:task/*/*", "arn:aws:ecs:*:*:container-instance/*/*"],
                &[],
            ),
        ],
    ),
    policy(
        "AmazonECSInfrastructureRolePolicyForLoadBalancers",
        "/",
        "Load balancers that ECS manages for blue/green deployments.",
        &[
            any(&[
                "elasticloadbalancing:DescribeListeners",
                "elasticloadbalancing:DescribeRules",
                "elasticloadbalancing:DescribeTargetGroups",
                "elasticloadbalancing:DescribeTargetHealth",
            ]),
            on(
                &["elasticloadbalancing:ModifyListener"],
                &["arn:aws:elasticloadbalancing:*:*:listener/*"],
            ),
            on(
                &["elasticloadbalancing:ModifyRule"],
                &["arn:aws:elasticloadbalancing:*:*:listener-rule/*"],
            ),
            on(
                &["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"],
                &["arn:aws:elasticloadbalancing:*:*:targetgroup/*/*"],
            ),
        ],
    ),
    policy(
        "AmazonECSInfrastructureRolePolicyForVolumes",
        "/service-role/",
        "EBS volumes that ECS manages for tasks.",
        &[
            given(
                &["ec2:CreateVolume"],
                &["arn:aws:ec2:*:*:volume/*"],
                &[
                    ("ArnLike", "aws:RequestTag/AmazonECSCreated", &["arn:aws:ecs:*:*:task/*"]),
                    ("StringEquals", "aws:RequestTag/AmazonECSManaged", &["true"]),
                ],
            ),
            on(&["ec2:CreateVolume"], &["arn:aws:ec2:*:*:snapshot/*"]),
            given(
                &["ec2:CreateTags"],
                &["arn:aws:ec2:*:*:volume/*"],
                &[("StringEquals", "ec2:CreateAction", &["CreateVolume"])],
            ),
            any(&["ec2:DescribeVolumes", "ec2:DescribeAvailabilityZones"]),
            given(
                &["ec2:AttachVolume", "ec2:DetachVolume", "ec2:DeleteVolume"],
                &["arn:aws:ec2:*:*:volume/*"],
                &[("StringEquals", "aws:ResourceTag/AmazonECSManaged", &["true"])],
            ),
            on(&["ec2:AttachVolume", "ec2:DetachVolume"], &["arn:aws:ec2:*:*:instance/*"]),
        ],
    ),
    policy(
        "AmazonECSTaskExecutionRolePolicy",
        "/service-role/",
        "What a node does for a task: pulling its images, writing its logs.",
        &[any(&[
            "ecr:GetAuthorizationToken",
            "ecr:BatchCheckLayerAvailability",
            "ecr:GetDownloadUrlForLayer",
            "ecr:BatchGetImage",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
        ])],
    ),
    policy(
        "AmazonECS_FullAccess",
        "/",
        "All of ECS and what belongs to it.",
        &[
            any(&[
                "application-autoscaling:*",
                "autoscaling:CreateAutoScalingGroup",
                "autoscaling:CreateLaunchConfiguration",
                "autoscaling:DeleteAutoScalingGroup",
                "autoscaling:DeleteLaunchConfiguration",
                "autoscaling:Describe*",
                "autoscaling:UpdateAutoScalingGroup",
                "cloudwatch:DeleteAlarms",
                "cloudwatch:DescribeAlarms",
                "cloudwatch:GetMetricStatistics",
                "cloudwatch:PutMetricAlarm",
                "codedeploy:*",
                "ec2:Describe*",
                "ecs:*",
                "elasticloadbalancing:*",
                "events:DeleteRule",
                "events:DescribeRule",
                "events:ListRuleNamesByTarget",
                "events:ListTargetsByRule",
                "events:PutRule",
                "events:PutTargets",
                "events:RemoveTargets",
                "iam:ListAttachedRolePolicies",
                "iam:ListInstanceProfiles",
                "iam:ListRoles",
                "logs:CreateLogGroup",
                "logs:DescribeLogGroups",
                "logs:FilterLogEvents",
                "route53:*",
                "servicediscovery:*",
                "sns:ListTopics",
            ]),
            on(
                &["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"],
                &["arn:aws:ssm:*:*:parameter/aws/service/ecs*"],
            ),
            given(
                &["iam:PassRole"],
                &["*"],
                &[("StringLike", "iam:PassedToService", &["ecs-tasks.amazonaws.com"])],
            ),
            given(
                &["iam:PassRole"],
                &["arn:aws:iam::*:role/ecsInstanceRole*"],
                &[("StringLike", "iam:PassedToService", &["ec2.amazonaws.com"])],
            ),
            given(
                &["iam:CreateServiceLinkedRole"],
                &["*"],
                &[(
                    "StringLike",
                    "iam:AWSServiceName",
                    &["ecs.amazonaws.com", "elasticloadbalancing.amazonaws.com"],
                )],
            ),
        ],
    ),
    policy("AmazonS3FullAccess", "/", "All of S3.", &[any(&["s3:*", "s3-object-lambda:*"])]),
    policy(
        "AmazonS3ReadOnlyAccess",
        "/",
        "Reading all of S3.",
        &[any(&[
            "s3:Get*",
            "s3:List*",
            "s3:Describe*",
            "s3-object-lambda:Get*",
            "s3-object-lambda:List*",
        ])],
    ),
    policy(
        "AmazonSSMReadOnlyAccess",
        "/",
        "Reading all of Systems Manager.",
        &[any(&["ssm:Describe*", "ssm:Get*", "ssm:List*"])],
    ),
    policy(
        "CloudWatchLogsFullAccess",
        "/",
        "All of CloudWatch Logs.",
        &[any(&["logs:*", "cloudwatch:GenerateQuery"])],
    ),
    policy(
        "PowerUserAccess",
        "/",
        "Everything but users, roles and the organization.",
        &[
            Grant {
                not: true,
                actions: &["iam:*", "organizations:*", "account:*"],
                resources: &["*"],
                conditions: &[],
            },
            any(&[
                "iam:CreateServiceLinkedRole",
                "iam:DeleteServiceLinkedRole",
                "iam:ListRoles",
                "organizations:DescribeOrganization",
                "account:ListRegions",
            ]),
        ],
    ),
    policy(
        "ReadOnlyAccess",
        "/",
        "Reading everything that is here.",
        &[any(&[
            "application-autoscaling:Describe*",
            "cloudwatch:Describe*",
            "cloudwatch:Get*",
            "cloudwatch:List*",
            "ec2:Describe*",
            "ecr:BatchCheck*",
            "ecr:BatchGet*",
            "ecr:Describe*",
            "ecr:Get*",
            "ecr:List*",
            "ecs:Describe*",
            "ecs:GetTaskProtection",
            "ecs:List*",
            "elasticloadbalancing:Describe*",
            "events:Describe*",
            "events:List*",
            "iam:Get*",
            "iam:List*",
            "logs:Describe*",
            "logs:FilterLogEvents",
            "logs:Get*",
            "logs:List*",
            "logs:StartQuery",
            "s3:Get*",
            "s3:List*",
            "secretsmanager:DescribeSecret",
            "secretsmanager:GetResourcePolicy",
            "secretsmanager:List*",
            "servicediscovery:Get*",
            "servicediscovery:List*",
            "ssm:Describe*",
            "ssm:Get*",
            "ssm:List*",
            "sts:GetAccessKeyInfo",
            "sts:GetCallerIdentity",
            "sts:GetSessionToken",
        ])],
    ),
    policy(
        "SecretsManagerReadWrite",
        "/",
        "All of Secrets Manager.",
        &[any(&[
            "secretsmanager:*",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcs",
            "kms:DescribeKey",
            "kms:ListAliases",
            "kms:ListKeys",
            "tag:GetResources",
        ])],
    ),
];

impl Managed {
    /// Its ARN in a partition.
    pub fn arn(&self, partition: &str) -> String {
        format!("arn:{partition}:iam::aws:policy{}{}", self.path, self.name)
    }

    /// `ANPA…`, the same everywhere.
    pub fn id(&self) -> String {
        const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let hash = crate::crypto::hmac(b"managed policy", self.name.as_bytes());
        let letters = hash
            .into_iter()
            .take(17)
            .filter_map(|byte| LETTERS.get(usize::from(byte % 32)).copied())
            .map(char::from);
        "ANPA".chars().chain(letters).collect()
    }

    /// Its document as JSON.
    pub fn document(&self) -> String {
        let statements: Vec<Value> = self.grants.iter().map(Grant::json).collect();
        format!("{:#}", json!({"Version": "2012-10-17", "Statement": statements}))
    }

    /// Its document, read.
    pub fn policy(&self) -> &'static Document {
        static READ: LazyLock<BTreeMap<&str, Document>> = LazyLock::new(|| {
            let read = |policy: &'static Managed| {
                let document = Document::parse(&policy.document(), Kind::Identity);
                (policy.name, document.expect("the built-in documents are tested"))
            };
            ALL.iter().map(read).collect()
        });
        READ.get(self.name).expect("every built-in policy is read")
    }
}

impl Grant {
    fn json(&self) -> Value {
        let action = if self.not { "NotAction" } else { "Action" };
        let mut statement = json!({"Effect": "Allow", "Resource": self.resources});
        statement[action] = json!(self.actions);
        for (operator, key, values) in self.conditions {
            statement["Condition"][operator][key] = json!(values);
        }
        statement
    }
}

/// The policy of AWS's that an ARN names, in any partition.
pub fn find(arn: &str) -> Option<&'static Managed> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", _, "iam", "", "aws", resource] = parts[..] else { return None };
    let path = resource.strip_prefix("policy")?;
    ALL.iter().find(|policy| path.strip_prefix(policy.path) == Some(policy.name))
}

#[cfg(test)]
mod tests {
    use super::super::{Context, Decision, Question, evaluate};
    use super::*;

    #[test]
    fn every_built_in_policy_is_well_formed_and_found_by_its_arn() {
        for policy in ALL {
            policy.policy();
            let found = find(&policy.arn("aws")).map(|found| found.name);
            assert_eq!(found, Some(policy.name));
        }
        assert!(ALL.is_sorted_by_key(|policy| policy.name));
        assert!(find("arn:aws:iam::aws:policy/AmazonECSTaskExecutionRolePolicy").is_none());
    }

    #[test]
    fn they_allow_what_their_names_say() {
        let ask = |name: &str, action: &str, context: &Context| {
            let policy = ALL.iter().find(|policy| policy.name == name).unwrap();
            let question = Question { action, resource: "arn:aws:iam::1:role/x", context };
            evaluate([policy.policy()], &question)
        };
        let none = Context::default();
        let tasks = Context::default().with("iam:PassedToService", "ecs-tasks.amazonaws.com");
        for (name, action, context, decision) in [
            ("AdministratorAccess", "iam:CreateRole", &none, Decision::Allowed),
            ("PowerUserAccess", "iam:CreateRole", &none, Decision::Silent),
            ("PowerUserAccess", "ecs:RunTask", &none, Decision::Allowed),
            ("ReadOnlyAccess", "ecs:RunTask", &none, Decision::Silent),
            ("ReadOnlyAccess", "ecs:ListTasks", &none, Decision::Allowed),
            ("AmazonECS_FullAccess", "iam:PassRole", &tasks, Decision::Allowed),
            ("AmazonECS_FullAccess", "iam:PassRole", &none, Decision::Silent),
            ("AmazonECSTaskExecutionRolePolicy", "ecr:BatchGetImage", &none, Decision::Allowed),
            ("AmazonECSTaskExecutionRolePolicy", "ecr:PutImage", &none, Decision::Silent),
        ] {
            assert_eq!(ask(name, action, context), decision, "{name} {action}");
        }
    }
}
