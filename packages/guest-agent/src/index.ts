export { runGuestAgent } from "./agent.ts";
