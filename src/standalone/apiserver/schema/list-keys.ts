/**
 * What the published declarations of Kubernetes' built-in types do not say: how lists and maps merge, which
 * integers are 64 bits wide, which fields must be there. Kept by hand, from the API's own definitions.
 */

/**
 * How a list merges. Every list that is not here is atomic: an apply or a patch replaces it whole.
 *
 * `map:a,b` is a list of objects told apart by the fields a and b, `set` a list of distinct values. After a
 * space comes what a strategic merge patch does with it, where that is more than replacing: `merge`,
 * `merge/key`, `merge,retainKeys/key` or `replace`. `atomic merge/type` is a list that differs between the two.
 */
export const listTypes: Readonly<Record<string, string>> = {
  'meta/v1.ObjectMeta.finalizers': 'set merge',
  'meta/v1.ObjectMeta.ownerReferences': 'map:uid merge/uid',

  'core/v1.PodSpec.volumes': 'map:name merge,retainKeys/name',
  'core/v1.PodSpec.initContainers': 'map:name merge/name',
  'core/v1.PodSpec.containers': 'map:name merge/name',
  'core/v1.PodSpec.ephemeralContainers': 'map:name merge/name',
  'core/v1.PodSpec.imagePullSecrets': 'map:name merge/name',
  'core/v1.PodSpec.hostAliases': 'map:ip merge/ip',
  'core/v1.PodSpec.topologySpreadConstraints': 'map:topologyKey,whenUnsatisfiable merge/topologyKey',
  'core/v1.PodSpec.schedulingGates': 'map:name merge/name',
  'core/v1.PodSpec.resourceClaims': 'map:name merge,retainKeys/name',
  'core/v1.ResourceRequirements.claims': 'map:name',
  'core/v1.VolumeResourceRequirements.claims': 'map:name',
  'core/v1.Container.ports': 'map:containerPort,protocol merge/containerPort',
  'core/v1.Container.env': 'map:name merge/name',
  'core/v1.Container.volumeMounts': 'map:mountPath merge/mountPath',
  'core/v1.Container.volumeDevices': 'map:devicePath merge/devicePath',
  'core/v1.EphemeralContainer.ports': 'map:containerPort,protocol merge/containerPort',
  'core/v1.EphemeralContainer.env': 'map:name merge/name',
  'core/v1.EphemeralContainer.volumeMounts': 'map:mountPath merge/mountPath',
  'core/v1.EphemeralContainer.volumeDevices': 'map:devicePath merge/devicePath',
  'core/v1.ContainerStatus.volumeMounts': 'map:mountPath merge/mountPath',
  'core/v1.ContainerStatus.allocatedResourcesStatus': 'map:name merge/name',
  'core/v1.PodStatus.conditions': 'map:type merge/type',
  'core/v1.PodStatus.hostIPs': 'atomic merge/ip',
  'core/v1.PodStatus.podIPs': 'map:ip merge/ip',
  'core/v1.PodStatus.resourceClaimStatuses': 'map:name merge,retainKeys/name',
  'core/v1.PersistentVolumeClaimStatus.conditions': 'map:type merge/type',
  'core/v1.ReplicationControllerStatus.conditions': 'map:type merge/type',
  'core/v1.ServiceStatus.conditions': 'map:type merge/type',
  'core/v1.ServiceSpec.ports': 'map:port,protocol merge/port',
  'core/v1.ServiceAccount.secrets': 'map:name merge/name',
  'core/v1.NodeSpec.podCIDRs': 'set merge',
  'core/v1.NodeStatus.conditions': 'map:type merge/type',
  'core/v1.NodeStatus.addresses': 'map:type merge/type',
  'core/v1.NamespaceStatus.conditions': 'map:type merge/type',

  'apps/v1.StatefulSetStatus.conditions': 'map:type merge/type',
  'apps/v1.DeploymentStatus.conditions': 'map:type merge/type',
  'apps/v1.DaemonSetStatus.conditions': 'map:type merge/type',
  'apps/v1.ReplicaSetStatus.conditions': 'map:type merge/type',
  'batch/v1.JobStatus.conditions': 'atomic merge/type',
  'batch/v1.PodFailurePolicyOnExitCodesRequirement.values': 'set',
  'batch/v1.UncountedTerminatedPods.succeeded': 'set',
  'batch/v1.UncountedTerminatedPods.failed': 'set',
  'discovery/v1.Endpoint.addresses': 'set',
  'policy/v1.PodDisruptionBudgetStatus.conditions': 'map:type merge/type',
  'storage/v1.CSIDriverSpec.volumeLifecycleModes': 'set',
  'storage/v1.CSINodeSpec.drivers': 'map:name merge/name',
  'autoscaling/v2.HorizontalPodAutoscalerStatus.conditions': 'map:type merge/type',
  'apiextensions/v1.CustomResourceDefinitionStatus.conditions': 'map:type',
};

/** Maps and objects that a strategic merge patch treats otherwise than by merging their fields. */
export const objectPatchStrategies: Readonly<Record<string, string>> = {
  'apps/v1.DeploymentSpec.strategy': 'retainKeys',
  'policy/v1.PodDisruptionBudgetSpec.selector': 'replace',
};

/** Types that an apply owns as a whole. */
export const atomicTypes: ReadonlySet<string> = new Set([
  'meta/v1.LabelSelector',
  'core/v1.SecretReference',
  'core/v1.ObjectFieldSelector',
  'core/v1.ResourceFieldSelector',
  'core/v1.ConfigMapKeySelector',
  'core/v1.SecretKeySelector',
  'core/v1.FileKeySelector',
  'core/v1.NodeSelector',
  'core/v1.NodeSelectorTerm',
  'core/v1.TopologySelectorTerm',
  'core/v1.EndpointAddress',
  'core/v1.EndpointPort',
  'core/v1.ObjectReference',
  'core/v1.LocalObjectReference',
  'core/v1.TypedLocalObjectReference',
  'core/v1.ScopeSelector',
  'meta/v1.OwnerReference',
  'discovery/v1.EndpointPort',
  'rbac/v1.Subject',
  'rbac/v1.RoleRef',
  'networking/v1.ServiceBackendPort',
]);

/** Fields that say otherwise than their type does. */
export const mapTypes: Readonly<Record<string, 'atomic' | 'granular'>> = {
  'core/v1.PersistentVolumeSpec.claimRef': 'granular',
  'core/v1.PodSpec.nodeSelector': 'atomic',
  'core/v1.ReplicationControllerSpec.selector': 'atomic',
  'core/v1.ServiceSpec.selector': 'atomic',
  'node/v1.Scheduling.nodeSelector': 'atomic',
};

/** Fields that a list tells its items apart by, and that may be left out. */
export const keyDefaults: Readonly<Record<string, string>> = {
  'core/v1.ContainerPort.protocol': 'TCP',
  'core/v1.ServicePort.protocol': 'TCP',
};

/** Names of fields that are 64 bits wide wherever they are; every other integer has 32. */
const wideNames = new Set([
  'activeDeadlineSeconds',
  'deletionGracePeriodSeconds',
  'expirationSeconds',
  'fsGroup',
  'generation',
  'gracePeriodSeconds',
  'nodeAllocatableUpdatePeriodSeconds',
  'observedGeneration',
  'remainingItemCount',
  'revision',
  'runAsGroup',
  'runAsUser',
  'seconds',
  'sizeBytes',
  'startingDeadlineSeconds',
  'supplementalGroups',
  'terminationGracePeriodSeconds',
  'tolerationSeconds',
  'maxItems',
  'minItems',
  'maxLength',
  'minLength',
  'maxProperties',
  'minProperties',
]);

export const isWide = (field: string): boolean => wideNames.has(field);

/** Strings that hold base64. */
export const byteFields: ReadonlySet<string> = new Set([
  'core/v1.Secret.data',
  'core/v1.ConfigMap.binaryData',
  'apiextensions/v1.WebhookClientConfig.caBundle',
]);

/**
 * Fields that the declarations call required, and that a server nevertheless fills with an empty value when
 * they are missing. A type alone means all of its fields.
 */
const lenientTypes =
  /(Status|Condition|State\w*|Event|EventSeries|EventSource|Review|Info|NodeSystemInfo|Attributes|ResourceRule|ManagedFieldsEntry)$/;
const lenientFields: ReadonlySet<string> = new Set([
  'apps/v1.ControllerRevision.revision',
  'apps/v1.StatefulSetSpec.serviceName',
  'authentication/v1.TokenRequestSpec.audiences',
  'authorization/v1.SubjectAccessReviewSpec.resourceAttributes',
  'core/v1.ContainerImage.names',
  'core/v1.LimitRangeSpec.limits',
  'core/v1.PodDNSConfigOption.name',
  'discovery/v1.EndpointSlice.endpoints',
  'networking/v1.NetworkPolicySpec.podSelector',
  'scheduling/v1.PriorityClass.value',
  'storage/v1.CSINodeSpec.drivers',
]);

export const isLenient = (type: string, field: string): boolean =>
  lenientTypes.test(type) || lenientFields.has(`${type}.${field}`);
