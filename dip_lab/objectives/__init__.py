"""What a training minimises, and how held-out pictures are judged and shown: `objective=`."""
