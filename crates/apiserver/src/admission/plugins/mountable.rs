//! Secrets that a pod may use when its account names those that it may: `kubernetes.io/enforce-mountable-secrets`.
// k8s: plugin/pkg/admission/serviceaccount/admission.go limitSecretReferences

use schema::Value;

/// The annotation of an account that asks for it.
pub(super) const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";

/// Whether the annotation's value asks for it.
// Go's strconv.ParseBool.
pub(super) fn is_true(value: &str) -> bool {
    ["1", "t", "T", "true", "TRUE", "True"].contains(&value)
}

/// What an account lets its pods use.
pub(super) struct Mountable<'a> {
    pub account: &'a str,
    pub secrets: Vec<&'a str>,
    pub pull_secrets: Vec<&'a str>,
}

impl Mountable<'_> {
    /// The first use of a new pod that is not allowed, in upstream's words.
    pub(super) fn refused(&self, pod: &Value) -> Option<String> {
        let account = self.account;
        let volumes = pod.list_at(&["spec", "volumes"]).iter().filter_map(|v| v.get("secret"));
        let mut names = volumes.map(|s| s.str_at(&["secretName"]));
        if let Some(name) = names.find(|name| !self.secrets.contains(name)) {
            return Some(format!(
                "volume with secret.secretName=\"{name}\" is not allowed because service account {account} does not \
                 reference that secret"
            ));
        }
        let pull = pod.list_at(&["spec", "imagePullSecrets"]).iter().map(|s| s.str_at(&["name"])).enumerate();
        self.of_containers(pod, "initContainers", "init container")
            .or_else(|| self.of_containers(pod, "containers", "container"))
            .or_else(|| {
                let (i, name) = pull.into_iter().find(|(_, name)| !self.pull_secrets.contains(name))?;
                Some(format!(
                    "imagePullSecrets[{i}].name=\"{name}\" is not allowed because service account {account} does not \
                     reference that imagePullSecret"
                ))
            })
    }

    /// The first variable of these containers that is not allowed.
    pub(super) fn of_containers(&self, pod: &Value, list: &str, what: &str) -> Option<String> {
        let refuse = |container: &Value, how: &str, secret: &str| {
            format!(
                "{what} {} with {how} referencing secret.secretName=\"{secret}\" is not allowed because service account \
                 {} does not reference that secret",
                container.str_at(&["name"]),
                self.account
            )
        };
        let secret = |of: &Value, path: &[&str]| {
            let name = of.at(path)?.str_at(&["name"]);
            (!self.secrets.contains(&name)).then(|| name.to_owned())
        };
        pod.list_at(&["spec", list]).iter().find_map(|c| {
            let variable = |env: &Value| {
                let name = secret(env, &["valueFrom", "secretKeyRef"])?;
                Some(refuse(c, &format!("envVar {}", env.str_at(&["name"])), &name))
            };
            let whole = |env: &Value| Some(refuse(c, "envFrom", &secret(env, &["secretRef"])?));
            let one = c.list_at(&["env"]).iter().find_map(variable);
            one.or_else(|| c.list_at(&["envFrom"]).iter().find_map(whole))
        })
    }
}
