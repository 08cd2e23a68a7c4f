/** Tests of settings, row by row: for the tests of packages that build documents of sandboxes. */
export { describeRows } from "./describe-rows.ts";
export { type BuiltMachine, even, machineRows } from "./machine-rows.ts";
export {
  type Annotations,
  noNumbers,
  onOff,
  Refused,
  type Row,
  RowKinds,
  refused,
  type SettingRows,
} from "./setting-rows.ts";
