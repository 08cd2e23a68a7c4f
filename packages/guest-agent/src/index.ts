export { runGuestAgent } from "./agent.ts";
export { type BootParameters, bootVariable, powerDescriptor } from "./boot-parameters.ts";
export { guestFolders } from "./guest-folders.ts";
