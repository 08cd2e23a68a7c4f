/** Replaces koffi in an executable: only its addon, which is embedded as an asset. */
import { getRawAsset } from "node:sea";
import type koffi from "koffi";
import { placeAddon } from "./place-addon.ts";

const addon = { exports: {} as typeof koffi };
process.dlopen(addon, placeAddon(new Uint8Array(getRawAsset("koffi.node") as ArrayBuffer), process.execPath));

export default addon.exports;
