import type { Command } from 'commander';
import { command, type CliContext, type CliProcess } from './context.ts';

// The verbs of the command line and their flags. What a verb does is imported only when it runs.

/** Adds every verb to the program. */
export function addVerbs(program: Command, cli: CliProcess): void {
  addInstanceVerbs(program, cli);
  addLookingVerbs(program, cli);
  addApiVerbs(program, cli);
  addHelp(program);
  program
    .command('version')
    .description('print the version')
    .action(async () => {
      cli.context.screen.write(`holdfast ${await cli.version()} (node ${process.version})\n`);
    });
}

/** As commander's own, but a name that is no command is an error: the whole help would say nothing of it. */
function addHelp(program: Command): void {
  program
    .helpCommand(false)
    .command('help')
    .description('show the help of a command')
    .argument('[command]')
    .action((name: string | undefined) => {
      if (name === undefined) return program.help();
      const found = program.commands.find((one) => one.name() === name);
      if (!found)
        return program.error(`error: unknown command '${name}'`, { code: 'commander.unknownCommand' });
      return found.help();
    });
}

type DataDirOption = readonly [flags: string, description: string, standard: string];

const dataDirOption = ({ context }: CliProcess): DataDirOption => [
  '--data-dir <dir>',
  'where the instance lives',
  context.dataDir,
];

const contextFor = ({ context }: CliProcess, { dataDir }: { readonly dataDir: string }): CliContext => ({
  ...context,
  dataDir,
});

/** What changes an instance, and can be interrupted. */
function addInstanceVerbs(program: Command, cli: CliProcess): void {
  program
    .command('up')
    .description('bring standalone Holdfast up on this machine, or complete it')
    .option('--disks <n>', 'disks of the node (3 for a new instance)')
    .option('--disk-size <size>', 'size of each disk (10Gi for a new instance); they are sparse files')
    .option(...dataDirOption(cli))
    .action(async (options: { dataDir: string; disks?: string; diskSize?: string }) => {
      cli.finishUnread();
      cli.listen(
        `what was started keeps running: ${command('up', options.dataDir)} goes on, ${command('down', options.dataDir)} ends it`,
      );
      const { up } = await import('./up.ts');
      await up(contextFor(cli, options), options);
    });

  program
    .command('down')
    .description('end every process of the instance; its data is kept')
    .option('--purge', 'remove the data too')
    .option(...dataDirOption(cli))
    .action(async (options: { dataDir: string; purge?: boolean }) => {
      cli.finishUnread();
      cli.listen(`what had begun to end goes on ending: ${command('down', options.dataDir)} waits for it`);
      const { down } = await import('./down.ts');
      await down(contextFor(cli, options), options);
    });

  program
    .command('demo')
    .description('the main job: a Ceph cluster, a claim, a pod that writes and one that verifies')
    .option('--before <times>', 'phases that ran before, as title=ms,title=ms, for the summary')
    .option(...dataDirOption(cli))
    .action(async (options: { dataDir: string; before?: string }) => {
      cli.finishUnread();
      cli.listen(`what it made is still there: ${command('demo', options.dataDir)} goes on`);
      const { demo } = await import('./demo-command.ts');
      await demo(contextFor(cli, options), options);
    });
}

/** What only looks. */
function addLookingVerbs(program: Command, cli: CliProcess): void {
  program
    .command('status')
    .description('show what runs, and how the cluster is')
    .option(...dataDirOption(cli))
    .action(async (options: { dataDir: string }) => {
      const { status } = await import('./status.ts');
      cli.exitWith(await status(contextFor(cli, options)));
    });

  program
    .command('logs')
    .description('show the log of one process of the instance; without a name, which there are')
    .argument('[process]')
    .option('-f, --follow', 'go on as it grows')
    .option(...dataDirOption(cli))
    .action(async (name: string | undefined, options: { dataDir: string; follow?: boolean }) => {
      cli.listen('');
      const { logs } = await import('./logs.ts');
      await logs(contextFor(cli, options), name, options);
    });
}

/** The way to the instance's API. */
function addApiVerbs(program: Command, cli: CliProcess): void {
  program
    .command('kubectl')
    .description('kubectl against this instance')
    .argument('[args...]')
    .allowUnknownOption()
    .passThroughOptions()
    .helpOption(false)
    .action(async (args: string[]) => {
      const { kubectl } = await import('./kubectl.ts');
      cli.exitWith(await kubectl(cli.context, args));
    });

  program
    .command('kubeconfig')
    .description('print the kubeconfig of this instance')
    .option('--path', 'print where it lies instead')
    .option(...dataDirOption(cli))
    .action(async (options: { dataDir: string; path?: boolean }) => {
      const { kubeconfig } = await import('./kubeconfig.ts');
      await kubeconfig(contextFor(cli, options), options);
    });
}
