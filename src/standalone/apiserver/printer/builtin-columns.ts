import type { KubeObject } from '../../../api/resource.ts';
import type { PrinterColumn } from '../kind.ts';
import { ageOf } from './age.ts';
import { bindingPrinters } from './binding-cells.ts';
import { nameOf, printer, type BuiltinPrinter } from './builtin-printer.ts';
import { clusterPrinters } from './cluster-cells.ts';
import { eventPrinters } from './event-cells.ts';
import { networkPrinters } from './network-cells.ts';
import { podPrinters } from './pod-cells.ts';
import { storagePrinters } from './storage-cells.ts';
import { workloadPrinters } from './workload-cells.ts';

const printers: Readonly<Record<string, BuiltinPrinter>> = {
  ...podPrinters,
  ...workloadPrinters,
  ...clusterPrinters,
  ...networkPrinters,
  ...storagePrinters,
  ...bindingPrinters,
  ...eventPrinters,
};

const nameAndAge = printer<KubeObject>('Name,Age', (object, nowMs) => [
  nameOf(object),
  ageOf(object.metadata?.creationTimestamp, nowMs),
]);

/** How a built-in kind is shown: by Name and Age where it has no columns of its own. */
export const builtinPrinter = (kind: string): BuiltinPrinter =>
  Object.hasOwn(printers, kind) ? (printers[kind] as BuiltinPrinter) : nameAndAge;

/** The column definitions of a built-in kind. */
export const columnsOf = (_group: string, kind: string): readonly PrinterColumn[] =>
  builtinPrinter(kind).columns;
