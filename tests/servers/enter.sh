# Runs in the guest's shell: this machine's perl and tcl, from its own files, on a server that is in the kernel or beside it.
# The shares are /host, all files of the machine that runs QEMU, and /srv, where the tests and their results are.
set -e
root=/tmp/root
mkdir -p $root
mount -t tmpfs none $root
for dir in usr lib lib64 bin sbin etc; do
    mkdir -p $root/$dir
    mount --bind /host/$dir $root/$dir
done
for dir in proc sys dev dev/shm dev/pts srv; do
    mkdir -p $root/$dir
    mount --bind /$dir $root/$dir
done
mkdir -p $root/run $root/tmp
# Interpreters flush each line; a file of the share would be written to each time.
cp -a /srv/tree $root/tmp/tree
cp /srv/server $root/tmp/server
chroot $root /bin/bash /srv/inside.sh >$root/tmp/log 2>&1 || echo "inside.sh ended with $?" >>$root/tmp/log
cat $root/tmp/log >>/srv/log
