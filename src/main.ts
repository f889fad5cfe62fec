import { Command } from 'commander';

const program = new Command('holdfast');
await program.parseAsync();
