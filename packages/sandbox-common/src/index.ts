export { AnnotationTable, type AnnotationTableOptions, type ReadAnnotations } from "./annotations/annotation-table.ts";
export { type ServiceTable, serviceTablePrefix } from "./annotations/service-table.ts";
export {
  type AnnotationRows,
  int32,
  keyOf,
  megabytes,
  own,
  type SharedName,
  type SharedValues,
  sharedAnnotations,
  topology,
  uint32,
  uint32s,
  unsafeOperations,
  type ValuesOf,
  vm,
} from "./annotations/shared-annotations.ts";
export {
  boolean,
  fileName,
  guid,
  guidAsWritten,
  integer,
  integers,
  oneOf,
  optional,
  type Reader,
  refuse,
  refusePath,
  refuseUnshown,
  shownValue,
  signedInteger,
  startsWith,
  text,
} from "./annotations/values.ts";
export { SandboxError } from "./error.ts";
export { fieldsOf } from "./fields.ts";
export { type HostFacts, hasBuild } from "./host-facts.ts";
export type { MachineContext } from "./machine/context.ts";
export {
  administratorsOnly,
  checkHostHas,
  comPorts,
  decodeBase64,
  decodePolicy,
  encodeBase64,
  firstBuildWithNumaAffinity,
  hvSocket,
  refusePartitionOfGroup,
  secureBootTemplate,
  storageQoS,
} from "./machine/document.ts";
export { describeDifference, type Fit, fitDocument } from "./machine/fitting.ts";
export {
  type ContainerLimits,
  containerLimits,
  type MemoryNeeds,
  memoryFor,
  PodSize,
  type PodSizeOptions,
  type SizeQuestion,
  type SizeVerdict,
} from "./machine/pod-size.ts";
export { computeTopology, defaultProcessors, hostMemory, type WantedSize } from "./machine/topology.ts";
export { type OptionSettings, optionSettings, type RuntimeOptions, warnOfNoEffect, wholeOption } from "./options.ts";
export { baseOf, cleanPath, isAbsolute, joinPath, type PathGrammar, parentOf } from "./paths.ts";
