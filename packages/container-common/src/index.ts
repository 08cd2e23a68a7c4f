export { checked, checkId, checkWholeTexts } from "./checks.ts";
export { CommonContainer } from "./container.ts";
export { ContainerCore, type ContainerCoreOptions, type ExecParts } from "./core.ts";
export { ContainerProcesses, type ExecRequest, type ExitStatuses } from "./processes.ts";
export { inStrictOrder, type MappedDevice, reservedStep, vmBound } from "./steps.ts";
export type { ContainerProcess, ProcessFactory, RootfsMount } from "./types.ts";
