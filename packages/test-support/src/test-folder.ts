/** Gives all tests of a run one temporary folder, which is removed with the run, however it ends. */
import { removeRunFolder, useRunFolder } from "./run-folders.ts";

export default function setup(): () => void {
  const folder = useRunFolder("uvm-unit-");
  return () => void removeRunFolder(folder);
}
