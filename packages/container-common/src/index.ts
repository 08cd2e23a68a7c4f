export { checked, checkId, checkWholeTexts } from "./checks.ts";
export { ContainerCore, type ContainerCoreOptions } from "./core.ts";
export { ContainerProcesses, type ExecRequest, type ExitStatuses } from "./processes.ts";
export { inStrictOrder, type MappedDevice, reservedStep, vmBound } from "./steps.ts";
export type { ContainerProcess, ProcessFactory, RootfsMount } from "./types.ts";
