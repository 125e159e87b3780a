//! Devices that a container asks for: GPUs, by their number.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ResourceRequirement.html>

use aws::ecs::{ResourceRequirement, ResourceType};

/// The most GPUs of one container: more than any machine has, and few enough to count.
const MOST: u32 = 128;

/// How many GPUs are asked for, or what is wrong with the requirements. Elastic Inference, the other
/// kind, has ended on AWS too.
pub(crate) fn gpus(given: Option<&[ResourceRequirement]>) -> Result<u32, String> {
    let mut gpus = None;
    for requirement in given.unwrap_or_default() {
        let value = requirement.value.as_deref().unwrap_or_default();
        match &requirement.r#type {
            Some(ResourceType::Gpu) => {}
            Some(ResourceType::InferenceAccelerator) => {
                return Err(format!(
                    "type InferenceAccelerator \"{value}\" can not be had: AWS ended Amazon Elastic \
                     Inference in April 2024; ask for a GPU."
                ));
            }
            Some(ResourceType::NeuronDevice) => {
                return Err(format!(
                    "type NeuronDevice \"{value}\" can not be had: placement counts GPUs only in this \
                     build of Wharf; offer the device as a GPU (wharf agent --gpu ID=/dev/…) or pass \
                     it by linuxParameters.devices."
                ));
            }
            Some(ResourceType::Unrecognized(other)) => {
                return Err(format!("\"{other}\" is no type of a resource; there is GPU."));
            }
            None => return Err("a resource has no type; there is GPU.".to_owned()),
        }
        if requirement.sharing_strategy.is_some() {
            return Err(
                "sharingStrategy: GPUs are not shared in this build of Wharf: each is one \
                        container's; leave it out."
                    .to_owned(),
            );
        }
        let count = value.parse().ok().filter(|count| (1..=MOST).contains(count));
        let count = count
            .ok_or_else(|| format!("GPU: \"{value}\" is not a number of GPUs from 1 to {MOST}."))?;
        if gpus.replace(count).is_some() {
            return Err("GPU is given twice.".to_owned());
        }
    }
    Ok(gpus.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_counted_and_all_else_is_refused() {
        let one = |r#type: &str, value: &str| ResourceRequirement {
            r#type: serde_json::from_value(r#type.into()).ok(),
            value: Some(value.to_owned()),
            ..ResourceRequirement::default()
        };
        assert_eq!(gpus(None), Ok(0));
        assert_eq!(gpus(Some(&[one("GPU", "2")])), Ok(2));
        for (given, words) in [
            (vec![one("GPU", "0")], "from 1 to"),
            (vec![one("GPU", "-1")], "from 1 to"),
            (vec![one("GPU", "all")], "from 1 to"),
            (vec![one("GPU", "1"), one("GPU", "1")], "twice"),
            (vec![one("InferenceAccelerator", "a")], "Elastic Inference"),
            (vec![one("TPU", "1")], "no type"),
            (vec![one("NeuronDevice", "1")], "NeuronDevice"),
            (
                vec![ResourceRequirement {
                    sharing_strategy: Some(aws::ecs::SharingStrategy::default()),
                    ..one("GPU", "1")
                }],
                "sharingStrategy",
            ),
        ] {
            let why = gpus(Some(&given)).unwrap_err();
            assert!(why.contains(words), "{given:?}: {why}");
        }
    }
}
