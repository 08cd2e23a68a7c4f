export { runGuestAgent } from "./agent.ts";
export { type BootParameters, bootVariable, powerDescriptor } from "./boot/boot-parameters.ts";
export { guestFolders } from "./boot/guest-folders.ts";
