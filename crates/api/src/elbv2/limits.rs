//! What there may be so many of, under AWS's names for it.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html>

use aws::Error;
use aws::elbv2::{DescribeAccountLimitsInput, DescribeAccountLimitsOutput, Limit};
use scheduler::BalancingLimit as L;

use super::actions::MOST_GROUPS;
use super::conditions::{MOST_VALUES, MOST_WILDCARDS};
use super::refer::page;

pub(super) fn describe(
    request: &DescribeAccountLimitsInput,
) -> Result<DescribeAccountLimitsOutput, Error> {
    let limits = [
        ("application-load-balancers", L::Balancers.most()),
        ("certificates-per-application-load-balancer", L::Certificates.most()),
        ("certificates-per-network-load-balancer", L::Certificates.most()),
        ("condition-values-per-alb-rule", MOST_VALUES),
        ("condition-wildcards-per-alb-rule", MOST_WILDCARDS),
        ("listeners-per-application-load-balancer", L::Listeners.most()),
        ("listeners-per-network-load-balancer", L::Listeners.most()),
        ("network-load-balancers", L::Balancers.most()),
        ("rules-per-application-load-balancer", L::Rules.most()),
        ("target-groups", L::Groups.most()),
        ("target-groups-per-action-on-application-load-balancer", MOST_GROUPS),
        ("target-groups-per-action-on-network-load-balancer", MOST_GROUPS),
        ("targets-per-target-group", L::Targets.most()),
    ];
    let all = limits
        .iter()
        .map(|(name, most)| {
            let limit = Limit { name: Some((*name).to_owned()), max: Some(most.to_string()) };
            ((*name).to_owned(), limit)
        })
        .collect();
    let (limits, next) =
        page("DescribeAccountLimits", request.marker.as_ref(), request.page_size, all)?;
    Ok(DescribeAccountLimitsOutput { limits: Some(limits), next_marker: next })
}
