import type { KubeObject } from '../../api/resource.ts';

/** A JSON object as stored and sent. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

/**
 * The part of OpenAPI 3.0 that Kubernetes calls structural, for built-in kinds and CRDs alike. Built-in
 * kinds' schemas come from src/gen; they carry list types and merge keys the same way.
 */
export interface StructuralSchema {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  readonly format?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, StructuralSchema>>;
  readonly additionalProperties?: StructuralSchema | boolean;
  readonly items?: StructuralSchema;
  readonly required?: readonly string[];
  readonly enum?: readonly Json[];
  readonly default?: Json;
  readonly nullable?: boolean;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: boolean;
  readonly exclusiveMaximum?: boolean;
  readonly multipleOf?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly allOf?: readonly StructuralSchema[];
  readonly anyOf?: readonly StructuralSchema[];
  readonly oneOf?: readonly StructuralSchema[];
  readonly not?: StructuralSchema;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-embedded-resource'?: boolean;
  readonly 'x-kubernetes-int-or-string'?: boolean;
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-map-type'?: 'atomic' | 'granular';
  readonly 'x-kubernetes-patch-strategy'?: string;
  readonly 'x-kubernetes-patch-merge-key'?: string;
  readonly 'x-kubernetes-validations'?: readonly {
    readonly rule: string;
    readonly message?: string;
    readonly messageExpression?: string;
    readonly fieldPath?: string;
    readonly reason?: string;
  }[];
}

export interface PrinterColumn {
  readonly name: string;
  readonly type: string;
  readonly format?: string;
  readonly description?: string;
  /** 0 always shown; above 0 only with `-o wide`. */
  readonly priority: number;
  /** For CRDs. Built-in kinds have a function in printer/. */
  readonly jsonPath?: string;
}

/** One served version of one kind: all that the generic registry needs to know of it. */
export interface KindInfo {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly listKind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly subresources: { readonly status: boolean; readonly scale?: ScalePaths };
  readonly schema: StructuralSchema;
  readonly columns: readonly PrinterColumn[];
  /** Built-in: strategic merge allowed, unknown fields judged by `schema`. */
  readonly builtin: boolean;
  readonly verbs: readonly string[];
  /** Beyond metadata.name and metadata.namespace, as dotted paths: `spec.nodeName`. */
  readonly selectableFields: readonly string[];
  /** Whoever makes an object says its status at once, as a kubelet of its Node. */
  readonly statusOnCreate?: boolean;
  /** False for kinds without a spec/generation, such as ConfigMap. */
  readonly hasGeneration: boolean;
}

export interface ScalePaths {
  readonly specReplicasPath: string;
  readonly statusReplicasPath: string;
  readonly labelSelectorPath?: string;
}

/** One thing wrong with an object, as a Status cause has it. */
export interface FieldError {
  /** `spec.mon.count`, `spec.storage.nodes[0].name`. */
  readonly field: string;
  readonly reason:
    | 'FieldValueInvalid'
    | 'FieldValueRequired'
    | 'FieldValueNotSupported'
    | 'FieldValueDuplicate'
    | 'FieldValueTypeInvalid'
    | 'FieldValueForbidden'
    | 'FieldValueTooLong'
    | 'FieldValueTooMany';
  /** In Kubernetes' words: `Invalid value: 10: spec.mon.count in body should be less than or equal to 9`. */
  readonly message: string;
}

export type ApiObject = KubeObject & JsonObject;
