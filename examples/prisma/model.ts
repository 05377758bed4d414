/** The model types that `npx prisma generate` makes of schema.prisma, written by hand. In your project, import the generated ones. */

export interface Label {
  id: number;
  name: string;
  color: string;
}

export interface Task {
  id: number;
  title: string;
  assignedTo: string | null;
  dueAt: Date | null;
}
