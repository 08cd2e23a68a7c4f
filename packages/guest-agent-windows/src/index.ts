export { baseLayer } from "./base-layer/base-layer.ts";
export { type ContainerParts, type ContainerProgram, WindowsContainer } from "./container/container.ts";
export { type ControlEvent, WindowsError, type WindowsProgram } from "./container/program.ts";
export { starterFolder, wineRoot } from "./wine.ts";
