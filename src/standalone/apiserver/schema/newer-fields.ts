/**
 * Types and fields that Kubernetes gained after the release that the published declarations were made from
 * (1.30), as far as they are on by default or as clients send them. The notation is that of scripts/gen-kinds.mjs.
 */
export const newerFields: Readonly<Record<string, string>> = {
  'core/v1.Container': 'restartPolicyRules:[core/v1.ContainerRestartRule',
  'core/v1.ContainerStatus':
    'allocatedResourcesStatus:[core/v1.ResourceStatus stopSignal:s user:core/v1.ContainerUser',
  'core/v1.EnvVarSource': 'fileKeyRef:core/v1.FileKeySelector',
  'core/v1.EphemeralContainer': 'restartPolicyRules:[core/v1.ContainerRestartRule',
  'core/v1.Lifecycle': 'stopSignal:s',
  'core/v1.NodeRuntimeHandlerFeatures': 'userNamespaces:b',
  'core/v1.NodeStatus': 'features:core/v1.NodeFeatures declaredFeatures:[s',
  'core/v1.NodeSystemInfo': 'swap:core/v1.NodeSwapStatus',
  'core/v1.PodCondition': 'observedGeneration:i',
  'core/v1.PodResourceClaim': 'resourceClaimName:s resourceClaimTemplateName:s',
  'core/v1.PodSecurityContext': 'seLinuxChangePolicy:s supplementalGroupsPolicy:s',
  'core/v1.PodSpec': 'hostnameOverride:s resources:core/v1.ResourceRequirements',
  'core/v1.PodStatus': 'allocatedResources:{q observedGeneration:i resources:core/v1.ResourceRequirements',
  'core/v1.ResourceClaim': 'request:s',
  'core/v1.Volume': 'image:core/v1.ImageVolumeSource',
  'core/v1.VolumeProjection': 'podCertificate:core/v1.PodCertificateProjection',
  'apps/v1.DeploymentStatus': 'terminatingReplicas:i',
  'apps/v1.ReplicaSetStatus': 'terminatingReplicas:i',
  'authorization/v1.ResourceAttributes':
    'fieldSelector:authorization/v1.FieldSelectorAttributes labelSelector:authorization/v1.LabelSelectorAttributes',
  'autoscaling/v2.HPAScalingRules': 'tolerance:q',
  'autoscaling/v2.HorizontalPodAutoscalerCondition': 'observedGeneration:i',
  'coordination/v1.LeaseSpec': 'preferredHolder:s strategy:s',
  'discovery/v1.EndpointHints': 'forNodes:[discovery/v1.ForNode',
  'storage/v1.CSIDriverSpec': 'nodeAllocatableUpdatePeriodSeconds:i serviceAccountTokenInSecrets:b',
  'storage/v1.VolumeError': 'errorCode:i',

  'core/v1.ContainerRestartRule': 'action!:s exitCodes:core/v1.ContainerRestartRuleOnExitCodes',
  'core/v1.ContainerRestartRuleOnExitCodes': 'operator!:s values:[i',
  'core/v1.ContainerUser': 'linux:core/v1.LinuxContainerUser',
  'core/v1.FileKeySelector': 'key!:s optional:b path!:s volumeName!:s',
  'core/v1.ImageVolumeSource': 'pullPolicy:s reference:s',
  'core/v1.LinuxContainerUser': 'gid!:i supplementalGroups:[i uid!:i',
  'core/v1.NodeFeatures': 'supplementalGroupsPolicy:b',
  'core/v1.NodeSwapStatus': 'capacity:i',
  'core/v1.PodCertificateProjection':
    'certificateChainPath:s credentialBundlePath:s keyPath:s keyType!:s maxExpirationSeconds:i signerName!:s userAnnotations:{s',
  'core/v1.ResourceHealth': 'health:s resourceID!:s',
  'core/v1.ResourceStatus': 'name!:s resources:[core/v1.ResourceHealth',
  'authorization/v1.FieldSelectorAttributes': 'rawSelector:s requirements:[meta/v1.FieldSelectorRequirement',
  'authorization/v1.LabelSelectorAttributes': 'rawSelector:s requirements:[meta/v1.LabelSelectorRequirement',
  'discovery/v1.ForNode': 'name!:s',
  'meta/v1.FieldSelectorRequirement': 'key!:s operator!:s values:[s',
  'storage/v1.VolumeAttributesClass':
    'apiVersion:s driverName!:s kind:s metadata:meta/v1.ObjectMeta parameters:{s',

  'apiextensions/v1.CustomResourceDefinitionStatus': 'observedGeneration:i',
  'apiextensions/v1.CustomResourceDefinitionCondition': 'observedGeneration:i',
  'apiextensions/v1.JSONSchemaProps':
    'x-kubernetes-embedded-resource:b x-kubernetes-int-or-string:b x-kubernetes-list-map-keys:[s x-kubernetes-list-type:s x-kubernetes-map-type:s x-kubernetes-preserve-unknown-fields:b x-kubernetes-validations:[apiextensions/v1.ValidationRule',
  'apiextensions/v1.ValidationRule':
    'fieldPath:s message:s messageExpression:s optionalOldSelf:b reason:s rule!:s',
};
