export { VsockDevice } from "./device.ts";
export { type DeviceErrorCode, deviceErrorCodes, VsockDeviceError } from "./device-error.ts";
export { type DeviceOperation, type DeviceState, type DeviceStateKind, deviceTable } from "./lifecycle.ts";
export type { DeviceEnd, DeviceLimits, ListeningOptions, VsockDeviceOptions } from "./types.ts";
