export * from "./any-case.ts";
export { type JsonBounds, jsonExcess, parseWithin } from "./bounded-json.ts";
export {
  answerObject,
  anything,
  type Check,
  type Copying,
  type CopyingCheck,
  closedObject,
  filledText,
  guidPattern,
  integer,
  list,
  oneOf,
  optional,
  refine,
  SchemaError,
  text,
  truth,
} from "./check.ts";
export * from "./document/answer-checks.ts";
export * from "./document/checks.ts";
export * from "./document/credential-guard.ts";
export * from "./document/document.ts";
export * from "./document/resource-checks.ts";
export * from "./document/resources.ts";
export * from "./document/schema.ts";
export * from "./document/virtual-machine.ts";
export * from "./guest/cgroup-metrics.ts";
export { FromGuest } from "./guest/from-guest.ts";
export * from "./guest/guest.ts";
export * from "./guest/guest-answers.ts";
export * from "./guest/guest-checks.ts";
export * from "./guest/wcow.ts";
export * from "./guest/wcow-answers.ts";
export * from "./guest/wcow-disk.ts";
export * from "./guest/wcow-hosted.ts";
export * from "./guest/wcow-process.ts";
export * from "./guest/wcow-vm.ts";
export * from "./hcn/hcn.ts";
export * from "./hcn/hcn-checks.ts";
export * from "./hcn/ip-address.ts";
export * from "./hresult.ts";
export { isMistyped } from "./mistyped.ts";
export * from "./oci/oci.ts";
export * from "./oci/oci-devices.ts";
export * from "./oci/oci-resources.ts";
export * from "./oci/oci-windows.ts";
export * from "./wellknown.ts";
