/** Gives all tests of a run one temporary folder, which goes with the run, however it ends. */
import { makeRunFolder, removeAtEnd, removeRunFolder } from "./run-folders.ts";

export default function setup(): () => void {
  const folder = makeRunFolder("uvm-unit-");
  removeAtEnd(folder);
  process.env.TMPDIR = folder;
  return () => void removeRunFolder(folder);
}
