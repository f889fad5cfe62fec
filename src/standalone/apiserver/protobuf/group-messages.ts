// Kept by hand: no package on npm has these numbers, so `npm run gen` cannot make them. They are the field tags of
// Kubernetes' Go types (k8s.io/api and k8s.io/apimachinery, v1 kinds): numbers, JSON names and types only.
// decode.ts says how a field is written.

/** Messages of the named API groups, with their fields. */
export const groupMessages: Readonly<Record<string, string>> = {
  'apps.ControllerRevision': '1:metadata:meta.ObjectMeta 2:data:@raw 3:revision:i',
  'apps.DaemonSet': '1:metadata:meta.ObjectMeta 2:spec:apps.DaemonSetSpec 3:status:apps.DaemonSetStatus',
  'apps.DaemonSetCondition': '1:type:s 2:status:s 3:lastTransitionTime:@time 4:reason:s 5:message:s',
  'apps.DaemonSetSpec':
    '1:selector:meta.LabelSelector? 2:template:core.PodTemplateSpec 3:updateStrategy:apps.DaemonSetUpdateStrategy 4:minReadySeconds:i 6:revisionHistoryLimit:i?',
  'apps.DaemonSetStatus':
    '1:currentNumberScheduled:i 2:numberMisscheduled:i 3:desiredNumberScheduled:i 4:numberReady:i 5:observedGeneration:i 6:updatedNumberScheduled:i 7:numberAvailable:i 8:numberUnavailable:i 9:collisionCount:i? 10:conditions:apps.DaemonSetCondition*',
  'apps.DaemonSetUpdateStrategy': '1:type:s 2:rollingUpdate:apps.RollingUpdateDaemonSet?',
  'apps.Deployment': '1:metadata:meta.ObjectMeta 2:spec:apps.DeploymentSpec 3:status:apps.DeploymentStatus',
  'apps.DeploymentCondition':
    '1:type:s 2:status:s 6:lastUpdateTime:@time 7:lastTransitionTime:@time 4:reason:s 5:message:s',
  'apps.DeploymentSpec':
    '1:replicas:i? 2:selector:meta.LabelSelector? 3:template:core.PodTemplateSpec 4:strategy:apps.DeploymentStrategy 5:minReadySeconds:i 6:revisionHistoryLimit:i? 7:paused:b 9:progressDeadlineSeconds:i?',
  'apps.DeploymentStatus':
    '1:observedGeneration:i 2:replicas:i 3:updatedReplicas:i 7:readyReplicas:i 4:availableReplicas:i 5:unavailableReplicas:i 9:terminatingReplicas:i? 6:conditions:apps.DeploymentCondition* 8:collisionCount:i?',
  'apps.DeploymentStrategy': '1:type:s 2:rollingUpdate:apps.RollingUpdateDeployment?',
  'apps.ReplicaSet': '1:metadata:meta.ObjectMeta 2:spec:apps.ReplicaSetSpec 3:status:apps.ReplicaSetStatus',
  'apps.ReplicaSetCondition': '1:type:s 2:status:s 3:lastTransitionTime:@time 4:reason:s 5:message:s',
  'apps.ReplicaSetSpec':
    '1:replicas:i? 4:minReadySeconds:i 2:selector:meta.LabelSelector? 3:template:core.PodTemplateSpec',
  'apps.ReplicaSetStatus':
    '1:replicas:i 2:fullyLabeledReplicas:i 4:readyReplicas:i 5:availableReplicas:i 7:terminatingReplicas:i? 3:observedGeneration:i 6:conditions:apps.ReplicaSetCondition*',
  'apps.RollingUpdateDaemonSet': '1:maxUnavailable:@intstr? 2:maxSurge:@intstr?',
  'apps.RollingUpdateDeployment': '1:maxUnavailable:@intstr? 2:maxSurge:@intstr?',
  'apps.RollingUpdateStatefulSetStrategy': '1:partition:i? 2:maxUnavailable:@intstr?',
  'apps.StatefulSet':
    '1:metadata:meta.ObjectMeta 2:spec:apps.StatefulSetSpec 3:status:apps.StatefulSetStatus',
  'apps.StatefulSetCondition': '1:type:s 2:status:s 3:lastTransitionTime:@time 4:reason:s 5:message:s',
  'apps.StatefulSetOrdinals': '1:start:i',
  'apps.StatefulSetPersistentVolumeClaimRetentionPolicy': '1:whenDeleted:s 2:whenScaled:s',
  'apps.StatefulSetSpec':
    '1:replicas:i? 2:selector:meta.LabelSelector? 3:template:core.PodTemplateSpec 4:volumeClaimTemplates:core.PersistentVolumeClaim* 5:serviceName:s 6:podManagementPolicy:s 7:updateStrategy:apps.StatefulSetUpdateStrategy 8:revisionHistoryLimit:i? 9:minReadySeconds:i 10:persistentVolumeClaimRetentionPolicy:apps.StatefulSetPersistentVolumeClaimRetentionPolicy? 11:ordinals:apps.StatefulSetOrdinals?',
  'apps.StatefulSetStatus':
    '1:observedGeneration:i 2:replicas:i 3:readyReplicas:i 4:currentReplicas:i 5:updatedReplicas:i 6:currentRevision:s 7:updateRevision:s 9:collisionCount:i? 10:conditions:apps.StatefulSetCondition* 11:availableReplicas:i',
  'apps.StatefulSetUpdateStrategy': '1:type:s 2:rollingUpdate:apps.RollingUpdateStatefulSetStrategy?',
  'authentication.AttestationValue': '1:items:s*',
  'authentication.BoundObjectReference': '1:kind:s 2:apiVersion:s 3:name:s 4:uid:s',
  'authentication.ExtraValue': '1:items:s*',
  'authentication.SelfSubjectReview':
    '1:metadata:meta.ObjectMeta 2:status:authentication.SelfSubjectReviewStatus',
  'authentication.SelfSubjectReviewStatus': '1:userInfo:authentication.UserInfo',
  'authentication.TokenRequest':
    '1:metadata:meta.ObjectMeta 2:spec:authentication.TokenRequestSpec 3:status:authentication.TokenRequestStatus',
  'authentication.TokenRequestSpec':
    '1:audiences:s* 4:expirationSeconds:i? 3:boundObjectRef:authentication.BoundObjectReference? 5:attestations:authentication.AttestationValue%',
  'authentication.TokenRequestStatus': '1:token:s 2:expirationTimestamp:@time',
  'authentication.TokenReview':
    '1:metadata:meta.ObjectMeta 2:spec:authentication.TokenReviewSpec 3:status:authentication.TokenReviewStatus',
  'authentication.TokenReviewSpec': '1:token:s 2:audiences:s*',
  'authentication.TokenReviewStatus':
    '1:authenticated:b 2:user:authentication.UserInfo 4:audiences:s* 3:error:s',
  'authentication.UserInfo': '1:username:s 2:uid:s 3:groups:s* 4:extra:authentication.ExtraValue%',
  'authorization.ExtraValue': '1:items:s*',
  'authorization.FieldSelectorAttributes': '1:rawSelector:s 2:requirements:meta.FieldSelectorRequirement*',
  'authorization.LabelSelectorAttributes': '1:rawSelector:s 2:requirements:meta.LabelSelectorRequirement*',
  'authorization.LocalSubjectAccessReview':
    '1:metadata:meta.ObjectMeta 2:spec:authorization.SubjectAccessReviewSpec 3:status:authorization.SubjectAccessReviewStatus',
  'authorization.NonResourceAttributes': '1:path:s 2:verb:s',
  'authorization.NonResourceRule': '1:verbs:s* 2:nonResourceURLs:s*',
  'authorization.ResourceAttributes':
    '1:namespace:s 2:verb:s 3:group:s 4:version:s 5:resource:s 6:subresource:s 7:name:s 8:fieldSelector:authorization.FieldSelectorAttributes? 9:labelSelector:authorization.LabelSelectorAttributes?',
  'authorization.ResourceRule': '1:verbs:s* 2:apiGroups:s* 3:resources:s* 4:resourceNames:s*',
  'authorization.SelfSubjectAccessReview':
    '1:metadata:meta.ObjectMeta 2:spec:authorization.SelfSubjectAccessReviewSpec 3:status:authorization.SubjectAccessReviewStatus',
  'authorization.SelfSubjectAccessReviewSpec':
    '1:resourceAttributes:authorization.ResourceAttributes? 2:nonResourceAttributes:authorization.NonResourceAttributes?',
  'authorization.SelfSubjectRulesReview':
    '1:metadata:meta.ObjectMeta 2:spec:authorization.SelfSubjectRulesReviewSpec 3:status:authorization.SubjectRulesReviewStatus',
  'authorization.SelfSubjectRulesReviewSpec': '1:namespace:s',
  'authorization.SubjectAccessReview':
    '1:metadata:meta.ObjectMeta 2:spec:authorization.SubjectAccessReviewSpec 3:status:authorization.SubjectAccessReviewStatus',
  'authorization.SubjectAccessReviewSpec':
    '1:resourceAttributes:authorization.ResourceAttributes? 2:nonResourceAttributes:authorization.NonResourceAttributes? 3:user:s 4:groups:s* 5:extra:authorization.ExtraValue% 6:uid:s',
  'authorization.SubjectAccessReviewStatus': '1:allowed:b 4:denied:b 2:reason:s 3:evaluationError:s',
  'authorization.SubjectRulesReviewStatus':
    '1:resourceRules:authorization.ResourceRule* 2:nonResourceRules:authorization.NonResourceRule* 3:incomplete:b 4:evaluationError:s',
  'autoscaling.Scale':
    '1:metadata:meta.ObjectMeta 2:spec:autoscaling.ScaleSpec 3:status:autoscaling.ScaleStatus',
  'autoscaling.ScaleSpec': '1:replicas:i',
  'autoscaling.ScaleStatus': '1:replicas:i 2:selector:s',
  'batch.CronJob': '1:metadata:meta.ObjectMeta 2:spec:batch.CronJobSpec 3:status:batch.CronJobStatus',
  'batch.CronJobSpec':
    '1:schedule:s 8:timeZone:s? 2:startingDeadlineSeconds:i? 3:concurrencyPolicy:s 4:suspend:b? 5:jobTemplate:batch.JobTemplateSpec 6:successfulJobsHistoryLimit:i? 7:failedJobsHistoryLimit:i?',
  'batch.CronJobStatus':
    '1:active:core.ObjectReference* 4:lastScheduleTime:@time? 5:lastSuccessfulTime:@time?',
  'batch.Job': '1:metadata:meta.ObjectMeta 2:spec:batch.JobSpec 3:status:batch.JobStatus',
  'batch.JobCondition':
    '1:type:s 2:status:s 3:lastProbeTime:@time 4:lastTransitionTime:@time 5:reason:s 6:message:s',
  'batch.JobSchedulingConfiguration': '',
  'batch.JobSpec':
    '1:parallelism:i? 2:completions:i? 3:activeDeadlineSeconds:i? 11:podFailurePolicy:batch.PodFailurePolicy? 16:successPolicy:batch.SuccessPolicy? 7:backoffLimit:i? 12:backoffLimitPerIndex:i? 13:maxFailedIndexes:i? 4:selector:meta.LabelSelector? 5:manualSelector:b? 6:template:core.PodTemplateSpec 8:ttlSecondsAfterFinished:i? 9:completionMode:s? 10:suspend:b? 14:podReplacementPolicy:s? 15:managedBy:s? 17:scheduling:batch.JobSchedulingConfiguration?',
  'batch.JobStatus':
    '1:conditions:batch.JobCondition* 2:startTime:@time? 3:completionTime:@time? 4:active:i 5:succeeded:i 6:failed:i 11:terminating:i? 7:completedIndexes:s 10:failedIndexes:s? 8:uncountedTerminatedPods:batch.UncountedTerminatedPods? 9:ready:i?',
  'batch.JobTemplateSpec': '1:metadata:meta.ObjectMeta 2:spec:batch.JobSpec',
  'batch.PodFailurePolicy': '1:rules:batch.PodFailurePolicyRule*',
  'batch.PodFailurePolicyOnExitCodesRequirement': '1:containerName:s? 2:operator:s 3:values:i*',
  'batch.PodFailurePolicyOnPodConditionsPattern': '1:type:s 2:status:s',
  'batch.PodFailurePolicyRule':
    '1:action:s 2:onExitCodes:batch.PodFailurePolicyOnExitCodesRequirement? 3:onPodConditions:batch.PodFailurePolicyOnPodConditionsPattern*',
  'batch.SuccessPolicy': '1:rules:batch.SuccessPolicyRule*',
  'batch.SuccessPolicyRule': '1:succeededIndexes:s? 2:succeededCount:i?',
  'batch.UncountedTerminatedPods': '1:succeeded:s* 2:failed:s*',
  'coordination.Lease': '1:metadata:meta.ObjectMeta 2:spec:coordination.LeaseSpec',
  'coordination.LeaseSpec':
    '1:holderIdentity:s? 2:leaseDurationSeconds:i? 3:acquireTime:@microtime? 4:renewTime:@microtime? 5:leaseTransitions:i? 6:strategy:s? 7:preferredHolder:s?',
  'discovery.Endpoint':
    '1:addresses:s* 2:conditions:discovery.EndpointConditions 3:hostname:s? 4:targetRef:core.ObjectReference? 5:deprecatedTopology:s% 6:nodeName:s? 7:zone:s? 8:hints:discovery.EndpointHints?',
  'discovery.EndpointConditions': '1:ready:b? 2:serving:b? 3:terminating:b?',
  'discovery.EndpointHints': '1:forZones:discovery.ForZone* 2:forNodes:discovery.ForNode*',
  'discovery.EndpointPort': '1:name:s? 2:protocol:s? 3:port:i? 4:appProtocol:s?',
  'discovery.EndpointSlice':
    '1:metadata:meta.ObjectMeta 4:addressType:s 2:endpoints:discovery.Endpoint* 3:ports:discovery.EndpointPort*',
  'discovery.ForNode': '1:name:s',
  'discovery.ForZone': '1:name:s',
  'events.Event':
    '1:metadata:meta.ObjectMeta 2:eventTime:@microtime 3:series:events.EventSeries? 4:reportingController:s 5:reportingInstance:s 6:action:s 7:reason:s 8:regarding:core.ObjectReference 9:related:core.ObjectReference? 10:note:s 11:type:s 12:deprecatedSource:core.EventSource 13:deprecatedFirstTimestamp:@time 14:deprecatedLastTimestamp:@time 15:deprecatedCount:i',
  'events.EventSeries': '1:count:i 2:lastObservedTime:@microtime',
  'networking.HTTPIngressPath': '1:path:s 3:pathType:s? 2:backend:networking.IngressBackend',
  'networking.HTTPIngressRuleValue': '1:paths:networking.HTTPIngressPath*',
  'networking.IPBlock': '1:cidr:s 2:except:s*',
  'networking.Ingress':
    '1:metadata:meta.ObjectMeta 2:spec:networking.IngressSpec 3:status:networking.IngressStatus',
  'networking.IngressBackend':
    '4:service:networking.IngressServiceBackend? 3:resource:core.TypedLocalObjectReference?',
  'networking.IngressClass': '1:metadata:meta.ObjectMeta 2:spec:networking.IngressClassSpec',
  'networking.IngressClassParametersReference': '1:apiGroup:s? 2:kind:s 3:name:s 4:scope:s? 5:namespace:s?',
  'networking.IngressClassSpec': '1:controller:s 2:parameters:networking.IngressClassParametersReference?',
  'networking.IngressLoadBalancerIngress': '1:ip:s 2:hostname:s 4:ports:networking.IngressPortStatus*',
  'networking.IngressLoadBalancerStatus': '1:ingress:networking.IngressLoadBalancerIngress*',
  'networking.IngressPortStatus': '1:port:i 2:protocol:s 3:error:s?',
  'networking.IngressRule': '1:host:s 2::networking.IngressRuleValue',
  'networking.IngressRuleValue': '1:http:networking.HTTPIngressRuleValue?',
  'networking.IngressServiceBackend': '1:name:s 2:port:networking.ServiceBackendPort',
  'networking.IngressSpec':
    '4:ingressClassName:s? 1:defaultBackend:networking.IngressBackend? 2:tls:networking.IngressTLS* 3:rules:networking.IngressRule*',
  'networking.IngressStatus': '1:loadBalancer:networking.IngressLoadBalancerStatus',
  'networking.IngressTLS': '1:hosts:s* 2:secretName:s',
  'networking.NetworkPolicy': '1:metadata:meta.ObjectMeta 2:spec:networking.NetworkPolicySpec',
  'networking.NetworkPolicyEgressRule':
    '1:ports:networking.NetworkPolicyPort* 2:to:networking.NetworkPolicyPeer*',
  'networking.NetworkPolicyIngressRule':
    '1:ports:networking.NetworkPolicyPort* 2:from:networking.NetworkPolicyPeer*',
  'networking.NetworkPolicyPeer':
    '1:podSelector:meta.LabelSelector? 2:namespaceSelector:meta.LabelSelector? 3:ipBlock:networking.IPBlock?',
  'networking.NetworkPolicyPort': '1:protocol:s? 2:port:@intstr? 3:endPort:i?',
  'networking.NetworkPolicySpec':
    '1:podSelector:meta.LabelSelector 2:ingress:networking.NetworkPolicyIngressRule* 3:egress:networking.NetworkPolicyEgressRule* 4:policyTypes:s*',
  'networking.ServiceBackendPort': '1:name:s 2:number:i',
  'node.Overhead': '1:podFixed:@quantity%',
  'node.RuntimeClass':
    '1:metadata:meta.ObjectMeta 2:handler:s 3:overhead:node.Overhead? 4:scheduling:node.Scheduling?',
  'node.Scheduling': '1:nodeSelector:s% 2:tolerations:core.Toleration*',
  'policy.Eviction': '1:metadata:meta.ObjectMeta 2:deleteOptions:meta.DeleteOptions?',
  'policy.PodDisruptionBudget':
    '1:metadata:meta.ObjectMeta 2:spec:policy.PodDisruptionBudgetSpec 3:status:policy.PodDisruptionBudgetStatus',
  'policy.PodDisruptionBudgetSpec':
    '1:minAvailable:@intstr? 2:selector:meta.LabelSelector? 3:maxUnavailable:@intstr? 4:unhealthyPodEvictionPolicy:s?',
  'policy.PodDisruptionBudgetStatus':
    '1:observedGeneration:i 2:disruptedPods:@time% 3:disruptionsAllowed:i 4:currentHealthy:i 5:desiredHealthy:i 6:expectedPods:i 7:conditions:meta.Condition*',
  'rbac.AggregationRule': '1:clusterRoleSelectors:meta.LabelSelector*',
  'rbac.ClusterRole':
    '1:metadata:meta.ObjectMeta 2:rules:rbac.PolicyRule* 3:aggregationRule:rbac.AggregationRule?',
  'rbac.ClusterRoleBinding': '1:metadata:meta.ObjectMeta 2:subjects:rbac.Subject* 3:roleRef:rbac.RoleRef',
  'rbac.PolicyRule': '1:verbs:s* 2:apiGroups:s* 3:resources:s* 4:resourceNames:s* 5:nonResourceURLs:s*',
  'rbac.Role': '1:metadata:meta.ObjectMeta 2:rules:rbac.PolicyRule*',
  'rbac.RoleBinding': '1:metadata:meta.ObjectMeta 2:subjects:rbac.Subject* 3:roleRef:rbac.RoleRef',
  'rbac.RoleRef': '1:apiGroup:s 2:kind:s 3:name:s',
  'rbac.Subject': '1:kind:s 2:apiGroup:s 3:name:s 4:namespace:s',
  'scheduling.PriorityClass':
    '1:metadata:meta.ObjectMeta 2:value:i 3:globalDefault:b 4:description:s 5:preemptionPolicy:s?',
  'storage.CSIDriver': '1:metadata:meta.ObjectMeta 2:spec:storage.CSIDriverSpec',
  'storage.CSIDriverSpec':
    '1:attachRequired:b? 2:podInfoOnMount:b? 3:volumeLifecycleModes:s* 4:storageCapacity:b? 5:fsGroupPolicy:s? 6:tokenRequests:storage.TokenRequest* 7:requiresRepublish:b? 8:seLinuxMount:b? 9:nodeAllocatableUpdatePeriodSeconds:i? 10:serviceAccountTokenInSecrets:b? 11:preventPodSchedulingIfMissing:b?',
  'storage.CSINode': '1:metadata:meta.ObjectMeta 2:spec:storage.CSINodeSpec 3:status:storage.CSINodeStatus',
  'storage.CSINodeDriver': '1:name:s 2:nodeID:s 3:topologyKeys:s* 4:allocatable:storage.VolumeNodeResources?',
  'storage.CSINodeSpec': '1:drivers:storage.CSINodeDriver*',
  'storage.CSINodeStatus': '1:storageHealth:storage.StorageHealth*',
  'storage.CSIStorageCapacity':
    '1:metadata:meta.ObjectMeta 2:nodeTopology:meta.LabelSelector? 3:storageClassName:s 4:capacity:@quantity? 5:maximumVolumeSize:@quantity?',
  'storage.StorageClass':
    '1:metadata:meta.ObjectMeta 2:provisioner:s 3:parameters:s% 4:reclaimPolicy:s? 5:mountOptions:s* 6:allowVolumeExpansion:b? 7:volumeBindingMode:s? 8:allowedTopologies:core.TopologySelectorTerm*',
  'storage.StorageHealth': '1:name:s 2:healthConditions:storage.StorageHealthCondition*',
  'storage.StorageHealthCondition':
    '1:status:s 2:reason:s 3:message:s 4:accessMode:s? 5:volumeMode:s? 6:lastTransitionTime:@time',
  'storage.TokenRequest': '1:audience:s 2:expirationSeconds:i?',
  'storage.VolumeAttachment':
    '1:metadata:meta.ObjectMeta 2:spec:storage.VolumeAttachmentSpec 3:status:storage.VolumeAttachmentStatus',
  'storage.VolumeAttachmentSource': '1:persistentVolumeName:s? 2:inlineVolumeSpec:core.PersistentVolumeSpec?',
  'storage.VolumeAttachmentSpec': '1:attacher:s 2:source:storage.VolumeAttachmentSource 3:nodeName:s',
  'storage.VolumeAttachmentStatus':
    '1:attached:b 2:attachmentMetadata:s% 3:attachError:storage.VolumeError? 4:detachError:storage.VolumeError?',
  'storage.VolumeAttributesClass': '1:metadata:meta.ObjectMeta 2:driverName:s 3:parameters:s%',
  'storage.VolumeError': '1:time:@time 2:message:s 3:errorCode:i?',
  'storage.VolumeNodeResources': '1:count:i?',
};

/** apiVersion/kind -> message. */
export const kindMessages: Readonly<Record<string, string>> = {
  'apps/v1/ControllerRevision': 'apps.ControllerRevision',
  'apps/v1/DaemonSet': 'apps.DaemonSet',
  'apps/v1/Deployment': 'apps.Deployment',
  'apps/v1/ReplicaSet': 'apps.ReplicaSet',
  'apps/v1/StatefulSet': 'apps.StatefulSet',
  'authentication.k8s.io/v1/SelfSubjectReview': 'authentication.SelfSubjectReview',
  'authentication.k8s.io/v1/TokenRequest': 'authentication.TokenRequest',
  'authentication.k8s.io/v1/TokenReview': 'authentication.TokenReview',
  'authorization.k8s.io/v1/LocalSubjectAccessReview': 'authorization.LocalSubjectAccessReview',
  'authorization.k8s.io/v1/SelfSubjectAccessReview': 'authorization.SelfSubjectAccessReview',
  'authorization.k8s.io/v1/SelfSubjectRulesReview': 'authorization.SelfSubjectRulesReview',
  'authorization.k8s.io/v1/SubjectAccessReview': 'authorization.SubjectAccessReview',
  'autoscaling/v1/Scale': 'autoscaling.Scale',
  'batch/v1/CronJob': 'batch.CronJob',
  'batch/v1/Job': 'batch.Job',
  'coordination.k8s.io/v1/Lease': 'coordination.Lease',
  'discovery.k8s.io/v1/EndpointSlice': 'discovery.EndpointSlice',
  'events.k8s.io/v1/Event': 'events.Event',
  'networking.k8s.io/v1/Ingress': 'networking.Ingress',
  'networking.k8s.io/v1/IngressClass': 'networking.IngressClass',
  'networking.k8s.io/v1/NetworkPolicy': 'networking.NetworkPolicy',
  'node.k8s.io/v1/RuntimeClass': 'node.RuntimeClass',
  'policy/v1/Eviction': 'policy.Eviction',
  'policy/v1/PodDisruptionBudget': 'policy.PodDisruptionBudget',
  'rbac.authorization.k8s.io/v1/ClusterRole': 'rbac.ClusterRole',
  'rbac.authorization.k8s.io/v1/ClusterRoleBinding': 'rbac.ClusterRoleBinding',
  'rbac.authorization.k8s.io/v1/Role': 'rbac.Role',
  'rbac.authorization.k8s.io/v1/RoleBinding': 'rbac.RoleBinding',
  'scheduling.k8s.io/v1/PriorityClass': 'scheduling.PriorityClass',
  'storage.k8s.io/v1/CSIDriver': 'storage.CSIDriver',
  'storage.k8s.io/v1/CSINode': 'storage.CSINode',
  'storage.k8s.io/v1/CSIStorageCapacity': 'storage.CSIStorageCapacity',
  'storage.k8s.io/v1/StorageClass': 'storage.StorageClass',
  'storage.k8s.io/v1/VolumeAttachment': 'storage.VolumeAttachment',
  'storage.k8s.io/v1/VolumeAttributesClass': 'storage.VolumeAttributesClass',
  'v1/Binding': 'core.Binding',
  'v1/ConfigMap': 'core.ConfigMap',
  'v1/Endpoints': 'core.Endpoints',
  'v1/Event': 'core.Event',
  'v1/LimitRange': 'core.LimitRange',
  'v1/Namespace': 'core.Namespace',
  'v1/Node': 'core.Node',
  'v1/PersistentVolume': 'core.PersistentVolume',
  'v1/PersistentVolumeClaim': 'core.PersistentVolumeClaim',
  'v1/Pod': 'core.Pod',
  'v1/PodTemplate': 'core.PodTemplate',
  'v1/ReplicationController': 'core.ReplicationController',
  'v1/ResourceQuota': 'core.ResourceQuota',
  'v1/Secret': 'core.Secret',
  'v1/Service': 'core.Service',
  'v1/ServiceAccount': 'core.ServiceAccount',
};
