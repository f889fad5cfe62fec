import type { Endpoints, EndpointSubset, Service, ServicePort } from 'kubernetes-types/core/v1.js';
import type { EndpointSlice } from 'kubernetes-types/discovery/v1.js';
import type { Ingress, IngressClass, NetworkPolicy } from 'kubernetes-types/networking/v1.js';
import type { KubeObject } from '../../../api/resource.ts';
import { ageOf } from './age.ts';
import {
  labelsText,
  nameOf,
  none,
  printer,
  selectorText,
  unset,
  type BuiltinPrinter,
} from './builtin-printer.ts';

const ageCell = (object: KubeObject, nowMs: number) => ageOf(object.metadata?.creationTimestamp, nowMs);
const maxShown = 3;

/** The first few, and how many more there are. */
function shortList(items: readonly string[], empty: string): string {
  if (items.length === 0) return empty;
  if (items.length <= maxShown) return items.join(',');
  return `${items.slice(0, maxShown).join(',')} + ${items.length - maxShown} more...`;
}

function externalAddress({ spec, status }: Service): string {
  const own = spec?.externalIPs ?? [];
  if (spec?.type === 'ExternalName') return spec.externalName ?? '';
  if (spec?.type !== 'LoadBalancer') return own.length > 0 ? own.join(',') : none;
  const given = (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip || hostname || '');
  const all = [...given.filter((address) => address !== ''), ...own];
  return all.length > 0 ? all.join(',') : '<pending>';
}

const portText = ({ port, nodePort, protocol }: ServicePort) =>
  `${port}${nodePort ? `:${nodePort}` : ''}/${protocol ?? 'TCP'}`;

function service(found: Service, nowMs: number) {
  const { spec } = found;
  return [
    nameOf(found),
    spec?.type,
    spec?.clusterIPs?.[0] || spec?.clusterIP || none,
    externalAddress(found),
    spec?.ports?.length ? spec.ports.map(portText).join(',') : none,
    ageCell(found, nowMs),
    labelsText(spec?.selector),
  ];
}

function subsetAddresses({ addresses = [], ports = [] }: EndpointSubset): string[] {
  const host = (ip: string) => (ip.includes(':') ? `[${ip}]` : ip);
  if (ports.length === 0) return addresses.map(({ ip }) => ip);
  return ports.flatMap(({ port }) => addresses.map(({ ip }) => `${host(ip)}:${port}`));
}

function slice(found: EndpointSlice, nowMs: number) {
  const ports = (found.ports ?? []).map(({ port, name }) => String(port ?? (name || '*')));
  const addresses = (found.endpoints ?? []).flatMap((endpoint) => endpoint.addresses ?? []);
  return [
    nameOf(found),
    found.addressType,
    shortList(ports, unset),
    shortList(addresses, unset),
    ageCell(found, nowMs),
  ];
}

function ingress(found: Ingress, nowMs: number) {
  const { spec, status } = found;
  const hosts = (spec?.rules ?? []).flatMap(({ host }) => (host ? [host] : []));
  const addresses = (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip || hostname || '');
  return [
    nameOf(found),
    spec?.ingressClassName ?? none,
    shortList(hosts, '*'),
    addresses.join(','),
    spec?.tls?.length ? '80, 443' : '80',
    ageCell(found, nowMs),
  ];
}

function ingressClass(found: IngressClass, nowMs: number) {
  const { controller, parameters } = found.spec ?? {};
  const kind = `${parameters?.kind}${parameters?.apiGroup ? `.${parameters.apiGroup}` : ''}`;
  return [nameOf(found), controller, parameters ? `${kind}/${parameters.name}` : none, ageCell(found, nowMs)];
}

export const networkPrinters: Readonly<Record<string, BuiltinPrinter>> = {
  Service: printer('Name,Type,Cluster-IP,External-IP,Port(s),Age,Selector*', service),
  Endpoints: printer<Endpoints>('Name,Endpoints,Age', (found, nowMs) => [
    nameOf(found),
    shortList((found.subsets ?? []).flatMap(subsetAddresses), none),
    ageCell(found, nowMs),
  ]),
  EndpointSlice: printer('Name,AddressType,Ports,Endpoints,Age', slice),
  Ingress: printer('Name,Class,Hosts,Address,Ports,Age', ingress),
  IngressClass: printer('Name,Controller,Parameters,Age', ingressClass),
  NetworkPolicy: printer<NetworkPolicy>('Name,Pod-Selector,Age', (found, nowMs) => [
    nameOf(found),
    selectorText(found.spec?.podSelector),
    ageCell(found, nowMs),
  ]),
};
